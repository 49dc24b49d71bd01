//! The completions in the shells themselves.

use super::*;

/// The completion script for a shell, in a file of its usual name.
fn script(place: &Path, shell: &str, name: &str) -> PathBuf {
    let (code, output, said) = run(tintype().args(["completions", shell]), b"");
    assert_eq!(code, Some(0), "{said}");
    let file = place.join(name);
    std::fs::write(&file, output.stdout).expect("a file");
    file
}

fn output_of(command: &mut Command) -> String {
    let (code, output, said) = run(command, b"");
    assert_eq!(code, Some(0), "{said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn bash_completes_commands_and_options() {
    let place = folder();
    let script = script(place.path(), "bash", "tintype");
    let text = r#"
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_tintype tintype "${@: -1}" "${@: -2:1}"
printf '%s\n' "${COMPREPLY[@]}""#;
    let complete = |words: &[&str]| {
        let mut command = Command::new("bash");
        command.args(["-c", text, "bash"]).arg(&script).args(words);
        output_of(&mut command)
    };
    assert_eq!(complete(&["tintype", "ser"]), "serve\n");
    assert_eq!(complete(&["tintype", "serve", "--lis"]), "--listen\n");
    assert_eq!(complete(&["tintype", "convert", "--qua"]), "--quality\n");
}

#[test]
fn fish_completes_commands_and_options() {
    needs!(Shells);
    let place = folder();
    let script = script(place.path(), "fish", "tintype.fish");
    let complete = |line: &str| {
        let mut command = Command::new("fish");
        command.env("HOME", place.path()).args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"]);
        output_of(command.arg(&script).arg(line))
    };
    assert!(complete("tintype ser").starts_with("serve\tServe the images of a folder\n"));
    assert!(complete("tintype serve --lis").starts_with("--listen\t"));
}

/// zsh completes only where it reads from a terminal, which its own module gives it.
#[test]
fn zsh_completes_commands_and_options() {
    needs!(Shells);
    let place = folder();
    script(place.path(), "zsh", "_tintype");
    let text = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "unset zle_bracketed_paste; PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -d $1/dump; print rea''dy"
zpty -r -m shell said '*ready*' || exit 1
zpty -w -n shell $'tintype serve --lis\t'
zpty -r -m shell said '*listen*' || exit 1
zpty -w -n shell $'\C-utintype conv\t'
zpty -r -m shell said '*convert*' || exit 1
zpty -d shell
print completed"#;
    let mut command = Command::new("timeout");
    command.args(["60", "zsh", "-f", "-c", text, "zsh"]).arg(place.path());
    assert_eq!(output_of(command.env("TERM", "xterm").env("HOME", place.path())), "completed\n");
}
