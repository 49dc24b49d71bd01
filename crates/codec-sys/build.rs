//! Compiles the calls to libjpeg, which are in C, with the headers that `turbojpeg-sys` installed beside the library it built.

fn main() {
    println!("cargo::rerun-if-changed=c/libjpeg.c");
    #[cfg(feature = "native")]
    libjpeg();
}

#[cfg(feature = "native")]
fn libjpeg() {
    println!("cargo::rerun-if-env-changed=DEP_TURBOJPEG_INCLUDE");
    // paths between commas; without them the compiler looks where the system has its headers
    let include = std::env::var("DEP_TURBOJPEG_INCLUDE").unwrap_or_default();
    let include = include.split(',').filter(|path| !path.is_empty());
    cc::Build::new()
        .file("c/libjpeg.c")
        .includes(include)
        .warnings(true)
        .extra_warnings(true)
        .compile("tintype_libjpeg");
}
