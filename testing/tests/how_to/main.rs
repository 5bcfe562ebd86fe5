//! The steps of a how-to, taken: files are written, lines added and commands run in a copy of the tree.
//!
//! A fenced block says what it is: a language and a path is a whole file, `diff` and a path are lines to add below others,
//! and `sh` is commands. The copy holds the crate `api` alone, so that it builds in seconds.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

const PAGE: &str = include_str!("../../../docs/how-to/add-a-resource.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above this crate")
}

/// A step of a page.
#[derive(Debug)]
enum Step<'a> {
    /// A new file.
    File(&'a str, String),
    /// Lines below others, in a file that is there.
    Lines(&'a str, String),
    /// Commands, a line each.
    Commands(String),
}

/// The steps of a page, in order.
fn steps(page: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(fence) = lines.by_ref().find_map(|line| line.strip_prefix("```")) {
        let text: String = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        steps.push(match fence.split_once(' ') {
            Some(("diff", path)) => Step::Lines(path, text),
            Some((_, path)) => Step::File(path, text),
            None if fence == "sh" => Step::Commands(text),
            None => panic!("a block without a path is no step: {fence}"),
        });
    }
    steps
}

/// The text with the added lines of a block, each below the line that it follows there; that line occurs once.
fn with_lines(text: &str, block: &str) -> Result<String, String> {
    let mut text = text.to_owned();
    let mut above: Option<String> = None;
    for line in block.lines() {
        let (mark, line) = line.split_at_checked(1).ok_or("an empty line")?;
        if mark == "+" {
            let known = above.take().ok_or("lines are added below another one")?;
            text = text.replacen(&known, &format!("{known}{line}\n"), 1);
        } else if text.matches(&format!("\n{line}\n")).count() != 1 {
            return Err(format!("`{line}` is not there once"));
        }
        above = Some(format!("\n{line}\n"));
    }
    Ok(text)
}

/// What the crate `api` needs, by name.
fn sources() -> BTreeMap<String, String> {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let listed = Command::new("git").args(["ls-files", "api"]).current_dir(root()).output().expect("git runs");
    let listed = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    // What compares with upstream's types would build for as long as everything else together.
    let names = listed.lines().filter(|name| !name.starts_with("api/tests/"));
    let mut files: BTreeMap<String, String> = names.map(|name| (name.to_owned(), read(name))).collect();
    let heavy = ["k8s-openapi", "k8s-pb", "prost.", "schemars"];
    let manifest = without(&read("api/Cargo.toml"), |line| heavy.iter().any(|name| line.starts_with(name)));
    files.insert("api/Cargo.toml".into(), manifest);
    let workspace = read("Cargo.toml");
    let workspace = without(&workspace, |line| line.starts_with("exclude") || line.starts_with("default-members"));
    let (head, rest) = workspace.split_once("members = [").expect("members");
    let (_, rest) = rest.split_once(']').expect("the end of the members");
    // The profiles name crates that are not here.
    let (rest, _) = rest.split_once("[profile.").expect("profiles");
    let workspace = format!("{head}members = [\"api\"]{rest}[profile.dev]\ndebug = false\n");
    files.insert("Cargo.toml".into(), workspace);
    files.insert("Cargo.lock".into(), read("Cargo.lock"));
    files
}

/// Makes the copy consist of these files. What is there already stays as it is, so that nothing is built twice.
fn lay_out(copy: &Path, files: &BTreeMap<String, String>) {
    let mut folders = vec![copy.join("api")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.strip_prefix(copy).expect("below the copy").to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !files.contains_key(&name) {
                fs::remove_file(path).expect("a file that is gone elsewhere goes");
            }
        }
    }
    for (name, text) in files {
        let path = copy.join(name);
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("the file is written");
        }
    }
}

fn without(text: &str, unwanted: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| !unwanted(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_resource_is_added_as_the_page_says() {
    let copy = root().join("target/how-to");
    let mut files = sources();
    let mut tests = 0;
    for step in steps(PAGE) {
        match step {
            Step::File(path, text) => {
                let before = files.insert(path.into(), text);
                assert!(before.is_none(), "{path} is there already: the page needs another example");
            }
            Step::Lines(path, block) => {
                let read = || fs::read_to_string(root().join(path)).expect("the file is there");
                let text = files.get(path).cloned().unwrap_or_else(read);
                let text = with_lines(&text, &block).unwrap_or_else(|problem| panic!("{path}: {problem}"));
                files.insert(path.into(), text);
            }
            Step::Commands(text) => {
                lay_out(&copy, &files);
                tests += text.lines().map(|line| run(&copy, line)).sum::<usize>();
            }
        }
    }
    assert!(tests > 3, "the commands of the page ran {tests} tests");
}

/// Runs a command of the page, which must succeed, and counts the tests that passed.
fn run(copy: &Path, line: &str) -> usize {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("cargo"), "{line}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // Whatever the outer cargo told this test is not meant for the inner one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        if name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command.args(words).current_dir(copy).env("CARGO_TARGET_DIR", copy.join("target")).env("CARGO_NET_OFFLINE", "true");
    let output = command.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}:\n{said}");
    let passed = said.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    let passed: usize = passed.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok()).sum();
    assert!(passed > 0, "{line} ran no test:\n{said}");
    passed
}

#[test]
fn lines_go_where_the_page_says_or_nowhere() {
    let text = "a\nb\nc\nb2\n";
    assert_eq!(with_lines(text, " b\n+x\n+y\n c\n").as_deref(), Ok("a\nb\nx\ny\nc\nb2\n"));
    assert!(with_lines(text, " d\n+x\n").is_err());
    assert!(with_lines("\nb\nb\nc\nb\n", " b\n+x\n").is_err());
}
