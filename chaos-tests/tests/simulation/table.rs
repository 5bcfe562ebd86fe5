//! Tables of what runs came to, for `docs/explanation/evidence.md`: `make evidence` names the folder they are written to.

use std::{fmt::Debug, fs, path::PathBuf, time::Duration};

/// A row: what, and how much of it.
pub(crate) type Row = (String, String);

/// Writes a table, if they are wanted.
pub(crate) fn keep(name: &str, heads: [&str; 2], rows: impl IntoIterator<Item = Row>) {
    let Some(folder) = std::env::var_os("KONTIKI_EVIDENCE").map(PathBuf::from) else { return };
    let mut table = format!("| {} | {} |\n|---|---|\n", heads[0], heads[1]);
    rows.into_iter().for_each(|(what, count)| table.push_str(&format!("| {what} | {count} |\n")));
    fs::write(folder.join(format!("{name}.md")), table).expect("the folder for tables can be written to");
}

/// Several counts in one row.
pub(crate) fn row<const N: usize>(what: &str, counts: [u64; N]) -> Row {
    (what.to_owned(), counts.map(thousands).join("; "))
}

/// How much was run: seeds, simulated seconds, and how long that took.
pub(crate) fn extent(seeds: u64, simulated: f64, took: Duration) -> Row {
    let seconds = |time: Duration| format!("{} s", thousands(time.as_secs()));
    let simulated = Duration::from_secs_f64(simulated);
    let count = [thousands(seeds), seconds(simulated), seconds(took)].join("; ");
    ("seeds; simulated time; time it took".to_owned(), count)
}

/// The kinds of something, with how often each happened: `KillLeader` is written `kill leader`.
pub(crate) fn kinds<'a, K: Debug + 'a>(counts: impl IntoIterator<Item = (&'a K, &'a u64)>) -> Vec<Row> {
    counts.into_iter().map(|(kind, times)| (words(&format!("{kind:?}")), thousands(*times))).collect()
}

pub(crate) fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars().filter(|letter| *letter != ')') {
        match letter {
            '(' => words.push_str(": "),
            upper if upper.is_ascii_uppercase() => {
                if words.chars().last().is_some_and(char::is_alphabetic) {
                    words.push(' ');
                }
                words.push(upper.to_ascii_lowercase());
            }
            other => words.push(other),
        }
    }
    words
}

/// A number with its thousands apart: 4,211.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let apart = |(at, digit): (usize, char)| {
        let comma = (at > 0 && (digits.len() - at).is_multiple_of(3)).then_some(',');
        comma.into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(apart).collect()
}

#[test]
fn names_and_numbers_are_written_as_people_read_them() {
    assert_eq!(
        [words("KillLeader"), words("Store(BitRot)"), thousands(0), thousands(4211), thousands(1_234_567)],
        ["kill leader", "store: bit rot", "0", "4,211", "1,234,567"]
    );
}
