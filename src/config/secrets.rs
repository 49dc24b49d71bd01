//! Secrets in separate files, so that neither the settings file nor the environment contains them.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::slice;

use super::{ConfigError, FixedSettings, Loaded, Origin};
use crate::dialect::foreign::imgproxy;
use crate::dialect::signature::{Keys, MIN_KEY_BYTES};

/// The maximum bytes of such a file.
const MAX_BYTES: u64 = 64 * 1024;

/// Reads the files that the settings name. `credentials` is the folder of the unit's credentials (systemd's
/// `LoadCredential=`), which names without a slash refer to.
pub(super) fn read(loaded: &mut Loaded, credentials: Option<&Path>) -> Result<(), ConfigError> {
    let place = |path: &Path| match credentials {
        Some(folder) if path.components().count() == 1 && !path.is_absolute() => folder.join(path),
        _ => path.to_owned(),
    };
    let live = &loaded.config.live;
    let secrets = [
        ("security.keys", !live.security.keys.is_empty()),
        ("security.admin_token", !live.security.admin_token.is_empty()),
        ("dialects.imgix", !live.dialects.imgix.token.is_empty()),
        ("dialects.imgproxy", !live.dialects.imgproxy.keys.is_empty()),
        ("dialects.thumbor", !live.dialects.thumbor.keys.is_empty()),
        // credentials of the origin
        ("source.url", loaded.config.fixed.source.url.contains('@')),
        ("source.secret_key", !loaded.config.fixed.source.secret_key.is_empty()),
        ("shared.secret_key", !loaded.config.fixed.shared.secret_key.is_empty()),
        ("shared.key", !loaded.config.fixed.shared.key.is_empty()),
    ];
    let mut inline = Vec::new();
    for (setting, is_set) in secrets {
        if let (true, Some(Origin::File(path))) = (is_set, loaded.origins.get(setting)) {
            inline.push(path.clone());
        }
    }
    inline.dedup();
    loaded.world_readable.extend(inline.into_iter().filter(is_world_readable));
    let security = &mut loaded.config.live.security;
    if !security.keys_file.as_os_str().is_empty() {
        let path = place(&security.keys_file);
        match open(&path, "security.keys_file", credentials.is_some())? {
            Secret::Unreadable(why) => loaded.unreadable_secrets.push(why),
            Secret::File(file) => {
                let keys = keys(&path, &text(file, &path, "security.keys_file")?)?;
                security.keys.extend(keys);
                loaded.origins.entry("security.keys".into()).or_insert(Origin::File(path.clone()));
                loaded.world_readable.extend(Some(path).filter(is_world_readable));
            }
        }
    }
    let admin = place(&security.admin_token_file);
    if let Some(token) = token(loaded, admin, "security.admin_token", credentials.is_some())? {
        loaded.config.live.security.admin_token = token;
    }
    buckets(loaded, place, credentials.is_some())?;
    dialects(loaded, place, credentials.is_some())
}

/// Reads the files with the credentials of buckets.
fn buckets(loaded: &mut Loaded, place: impl Fn(&Path) -> PathBuf, has_credentials: bool) -> Result<(), ConfigError> {
    type Get = fn(&mut FixedSettings) -> (&mut String, &mut PathBuf);
    let settings: [(&str, Get); 5] = [
        ("source.access_key", |fixed| (&mut fixed.source.access_key, &mut fixed.source.access_key_file)),
        ("source.secret_key", |fixed| (&mut fixed.source.secret_key, &mut fixed.source.secret_key_file)),
        ("shared.access_key", |fixed| (&mut fixed.shared.access_key, &mut fixed.shared.access_key_file)),
        ("shared.secret_key", |fixed| (&mut fixed.shared.secret_key, &mut fixed.shared.secret_key_file)),
        ("shared.key", |fixed| (&mut fixed.shared.key, &mut fixed.shared.key_file)),
    ];
    for (setting, get) in settings {
        let path = place(get(&mut loaded.config.fixed).1);
        if let Some(secret) = token(loaded, path, setting, has_credentials)? {
            *get(&mut loaded.config.fixed).0 = secret;
        }
    }
    Ok(())
}

/// Reads the files of dialects.
fn dialects(loaded: &mut Loaded, place: impl Fn(&Path) -> PathBuf, has_credentials: bool) -> Result<(), ConfigError> {
    let dialects = &loaded.config.live.dialects;
    let imgix = place(&dialects.imgix.token_file);
    let (imgproxy, thumbor) = (place(&dialects.imgproxy.keys_file), place(&dialects.thumbor.keys_file));
    if let Some(token) = token(loaded, imgix, "dialects.imgix.token", has_credentials)? {
        loaded.config.live.dialects.imgix.token = token;
    }
    for (key, salt) in lines(loaded, imgproxy, "dialects.imgproxy", has_credentials, key_and_salt)? {
        loaded.config.live.dialects.imgproxy.keys.push(key);
        loaded.config.live.dialects.imgproxy.salts.push(salt);
    }
    let keys = lines(loaded, thumbor, "dialects.thumbor", has_credentials, |line| Ok(line.to_owned()))?;
    loaded.config.live.dialects.thumbor.keys.extend(keys);
    Ok(())
}

/// Parses each line of the `keys_file` of a section but empty lines and those that begin with `#`. The result is empty where there is
/// no file, or none that this process may read.
fn lines<T>(
    loaded: &mut Loaded, path: PathBuf, section: &str, has_credentials: bool, parse: fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, ConfigError> {
    if path.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let setting = format!("{section}.keys_file");
    let file = match open(&path, &setting, has_credentials)? {
        Secret::File(file) => file,
        Secret::Unreadable(why) => {
            loaded.unreadable_secrets.push(why);
            return Ok(Vec::new());
        }
    };
    let wrong = |why: String| ConfigError(format!("{setting} is invalid: {}: {why}", path.display()));
    let text = text(file, &path, &setting)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let parsed = lines.map(|(number, line)| parse(line).map_err(|why| wrong(format!("line {}: {why}", number + 1))));
    let parsed = parsed.collect::<Result<Vec<T>, _>>()?;
    if parsed.is_empty() {
        return Err(wrong("it contains no key".into()));
    }
    loaded.world_readable.extend(Some(path).filter(is_world_readable));
    Ok(parsed)
}

/// A key of imgproxy and its salt behind a colon.
fn key_and_salt(line: &str) -> Result<(String, String), String> {
    let (key, salt) = line.split_once(':').ok_or("a key, a colon and its salt, in hexadecimal")?;
    let pair = (key.trim().to_owned(), salt.trim().to_owned());
    imgproxy::Keys::new(slice::from_ref(&pair.0), slice::from_ref(&pair.1), 32).map_err(|why| why.to_string())?;
    Ok(pair)
}

/// Reads the token of a setting from its file; `None` where there is no file, or none that this process may read.
fn token(
    loaded: &mut Loaded, path: PathBuf, setting: &str, has_credentials: bool,
) -> Result<Option<String>, ConfigError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let file_setting = format!("{setting}_file");
    let file = match open(&path, &file_setting, has_credentials)? {
        Secret::File(file) => file,
        Secret::Unreadable(why) => {
            loaded.unreadable_secrets.push(why);
            return Ok(None);
        }
    };
    let text = text(file, &path, &file_setting)?;
    let token = text.trim_end_matches(['\n', '\r']);
    // a service account of Google is JSON on several lines
    let is_json = setting.ends_with(".secret_key") && token.starts_with('{');
    if token.trim().is_empty() || token.contains(char::is_control) && !is_json {
        let why = "the file must contain a token on one line";
        return Err(ConfigError(format!("{file_setting} is invalid: {}: {why}", path.display())));
    }
    loaded.origins.insert(setting.into(), Origin::File(path.clone()));
    loaded.world_readable.extend(Some(path).filter(is_world_readable));
    Ok(Some(token.to_owned()))
}

enum Secret {
    File(File),
    /// Readable for the service, but not for this process; with the reason.
    Unreadable(String),
}

/// Opens a file, once, since it may be a pipe.
fn open(path: &Path, setting: &str, has_credentials: bool) -> Result<Secret, ConfigError> {
    let is_bare = path.components().count() == 1 && !path.is_absolute();
    let name = path.display();
    match File::open(path) {
        Ok(file) => Ok(Secret::File(file)),
        Err(error) if error.kind() == ErrorKind::NotFound && is_bare && !has_credentials => {
            Ok(Secret::Unreadable(format!(
                "{setting} = \"{name}\" is a systemd credential, which only the service has; name their folder: \
                CREDENTIALS_DIRECTORY=FOLDER tintype ..."
            )))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !has_credentials => {
            Ok(Secret::Unreadable(format!("permission denied on {setting} = \"{name}\"")))
        }
        Err(error) => Err(ConfigError(format!("{setting} is invalid: cannot read {name}: {error}"))),
    }
}

/// Parses one key per line; empty lines and lines that begin with `#` are skipped.
fn keys(path: &Path, text: &str) -> Result<Vec<String>, ConfigError> {
    let wrong = |why: String| ConfigError(format!("security.keys_file is invalid: {}: {why}", path.display()));
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let key = line.trim_end_matches('\r');
        if key.trim().is_empty() || key.starts_with('#') {
            continue;
        }
        Keys::new([key]).map_err(|short| wrong(format!("line {}: {short}", number + 1)))?;
        keys.push(key.to_owned());
    }
    if keys.is_empty() {
        return Err(wrong(format!("it contains no key; a line of at least {MIN_KEY_BYTES} bytes is one")));
    }
    Ok(keys)
}

fn text(file: File, path: &Path, setting: &str) -> Result<String, ConfigError> {
    let wrong = |why: String| ConfigError(format!("{setting} is invalid: {}: {why}", path.display()));
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| wrong(format!("cannot read it: {error}")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// Whether every user may read the file.
fn is_world_readable(path: &PathBuf) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, read_text};

    const KEY: &str = "0123456789abcdef";

    fn loaded(security: &str) -> Loaded {
        read_text(&format!("[security]\n{security}\n")).expect("good settings")
    }

    #[test]
    fn keys_file_has_a_key_per_line() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("keys");
        let check = |text: &str, expected: Result<&[&str], &str>| {
            std::fs::write(&path, text).expect("written");
            let mut loaded = loaded(&format!("keys_file = {path:?}"));
            assert!(loaded.config.live.security.require_signature);
            match (read(&mut loaded, None), expected) {
                (Ok(()), Ok(keys)) => assert_eq!(loaded.config.live.security.keys, keys, "{text:?}"),
                (Err(ConfigError(message)), Err(part)) => {
                    assert!(message.contains(part) && message.contains("keys_file"), "{text:?}: {message}");
                    assert!(!message.contains("secret"), "{message}");
                }
                (got, expected) => panic!("{text:?}: {got:?}, not {expected:?}"),
            }
        };
        check(&format!("{KEY}\n"), Ok(&[KEY]));
        check(KEY, Ok(&[KEY]));
        check(&format!("# new\n{KEY}x\r\n\n# old\n{KEY}"), Ok(&[&format!("{KEY}x"), KEY]));
        check("", Err("no key"));
        check("# nothing else\n\n", Err("no key"));
        check(&format!("{KEY}\nsecret\n"), Err("line 2"));
        check(&"x".repeat(70_000), Err("65536"));
        std::fs::remove_file(&path).expect("removed");
        let error = read(&mut loaded(&format!("keys_file = {path:?}")), None).expect_err("not there");
        assert!(error.to_string().contains("cannot read"), "{error}");
    }

    #[test]
    fn name_without_a_slash_is_a_credential() {
        let place = tempfile::tempdir().expect("a folder");
        std::fs::write(place.path().join("signing-keys"), format!("{KEY}\n")).expect("written");
        std::fs::write(place.path().join("token"), "let me in\n").expect("written");
        let mut both = loaded("keys = ['fedcba9876543210']\nkeys_file = 'signing-keys'\nadmin_token_file = 'token'");
        read(&mut both, Some(place.path())).expect("good");
        assert_eq!(both.config.live.security.keys, ["fedcba9876543210", KEY]);
        assert_eq!(both.config.live.security.admin_token, "let me in");
        assert_eq!(both.origins["security.admin_token"], Origin::File(place.path().join("token")));
        let shown = toml::to_string(&both.config.without_secrets()).expect("TOML");
        assert!(!shown.contains(KEY) && !shown.contains("let me in"), "{shown}");
        assert!(read(&mut loaded("keys_file = './signing-keys'"), Some(place.path())).is_err());
        // without systemd there are none, which is no error yet
        let mut by_hand = loaded("keys_file = 'signing-keys'\nadmin_token_file = 'token'");
        read(&mut by_hand, None).expect("readable without");
        assert_eq!((by_hand.unreadable_secrets.len(), by_hand.config.live.security.keys.len()), (2, 0));
        let why = by_hand.with_secrets().expect_err("unreadable_secrets").to_string();
        assert!(why.contains("CREDENTIALS_DIRECTORY") && why.contains("keys_file"), "{why}");
        std::fs::write(place.path().join("token"), "\n").expect("written");
        assert!(read(&mut loaded("admin_token_file = 'token'"), Some(place.path())).is_err());
        assert!(read_text("[security]\nadmin_token = 'a'\nadmin_token_file = 'token'\n").is_err());
        let mut none = Loaded { config: Config::default(), ..loaded("") };
        read(&mut none, Some(place.path())).expect("nothing to read");
        assert_eq!(none.config, Config::default());
    }

    #[test]
    fn token_of_imgix_may_come_from_a_file() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("token");
        std::fs::write(&path, "s3cr3t\n").expect("written");
        let text = |more: &str| format!("[security]\nkeys = ['{KEY}']\n[dialects.imgix]\nmount = '/ix'\n{more}\n");
        let mut loaded = read_text(&text(&format!("token_file = {path:?}"))).expect("the file is read later");
        read(&mut loaded, None).expect("good");
        let mounts = loaded.config.live.mounts().expect("signed URLs");
        let (prefix, dialect) = mounts.foreign().next().expect("imgix");
        assert_eq!((prefix, dialect.name(), dialect.is_unsigned()), ("/ix", "imgix", false));
        let shown = toml::to_string(&loaded.config.without_secrets()).expect("TOML");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        std::fs::write(&path, " \n").expect("written");
        let error = read(&mut loaded, None).expect_err("no token").to_string();
        assert!(error.contains("dialects.imgix.token_file is invalid"), "{error}");
        for (more, setting) in [("token_file = 'a'\ntoken = 'b'", "dialects.imgix.token_file"), ("", "dialects.imgix")]
        {
            let error = read_text(&text(more)).expect_err(more).to_string();
            assert!(error.contains(&format!("{setting} is invalid")), "{error}");
        }
        assert!(read_text(&text("token = 's3cr3t'")).is_ok());
    }

    #[test]
    fn keys_of_dialects_may_come_from_files() {
        let place = tempfile::tempdir().expect("a folder");
        let files = ["imgproxy", "thumbor"].map(|name| place.path().join(name));
        let write = |texts: [&str; 2]| {
            files.iter().zip(texts).for_each(|(file, text)| std::fs::write(file, text).expect("written"));
        };
        let [imgproxy, thumbor] = &files;
        let text = format!(
            "[security]\nkeys = ['{KEY}']\n[dialects.imgproxy]\nmount = '/imgproxy'\nkeys = ['aa']\nsalts = ['bb']\n\
            keys_file = {imgproxy:?}\n[dialects.thumbor]\nmount = '/thumbor'\nkeys_file = {thumbor:?}\n"
        );
        let mut loaded = read_text(&text).expect("the files are read later");
        write(["# old\n736563726574:68656c6c6f\r\n\n", "my-security-key\n"]);
        read(&mut loaded, None).expect("good");
        let dialects = &loaded.config.live.dialects;
        assert_eq!(dialects.imgproxy.keys, ["aa", "736563726574"]);
        assert_eq!(dialects.imgproxy.salts, ["bb", "68656c6c6f"]);
        assert_eq!(dialects.thumbor.keys, ["my-security-key"]);
        assert!(loaded.config.live.mounts().expect("signed URLs").foreign().all(|(_, dialect)| !dialect.is_unsigned()));
        let shown = toml::to_string(&loaded.config.without_secrets()).expect("TOML");
        assert!(!shown.contains("736563726574") && !shown.contains("my-security-key"), "{shown}");
        for (texts, part) in [
            (["aa\n", "a"], "dialects.imgproxy.keys_file is invalid"),
            (["aa:zz", "a"], "line 1"),
            (["# none", "a"], "no key"),
            (["aa:bb", "\n"], "dialects.thumbor.keys_file is invalid"),
        ] {
            write(texts);
            let error = read(&mut read_text(&text).expect("good"), None).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn world_readable_file_is_reported() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("keys");
        std::fs::write(&path, KEY).expect("written");
        for (mode, told) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
            let mut loaded = loaded(&format!("keys_file = {path:?}"));
            read(&mut loaded, None).expect("good");
            assert_eq!(!loaded.world_readable.is_empty(), told, "{mode:o}");
        }
    }
}
