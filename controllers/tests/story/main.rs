//! Stories of the controllers as scripts with golden output.
//!
//! A line with `>` is a command, everything below it is what came of it. `UPDATE_EXPECT=1 cargo test -p controllers`
//! writes the files anew; reviewers read the difference. The world below stands for API server and kubelet: it applies
//! plans at once and starts or ends pods when the script says so. No time passes unless the script says so.

#[cfg(test)]
mod world;

#[cfg(test)]
use expect_test::expect_file;
#[cfg(test)]
use world::World;

#[cfg(test)]
fn play(name: &str) {
    let path = format!("{}/tests/scripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let script = std::fs::read_to_string(&path).unwrap();
    let mut world = World::new();
    let mut actual = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            actual.push_str(&format!("> {command}\n{}\n", world.run(command)));
        } else if line.starts_with('#') {
            actual.push_str(line);
            actual.push('\n');
        }
    }
    expect_file![path].assert_eq(&actual);
}

#[test]
fn a_rolling_update_keeps_pods_available() {
    play("rolling_update");
}

#[test]
fn a_recreate_ends_the_old_before_the_new() {
    play("recreate");
}

#[test]
fn a_rollout_that_does_not_get_ready_is_reported_and_undone() {
    play("stuck");
}
