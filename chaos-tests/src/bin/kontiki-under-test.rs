//! The `kontiki` program, built with the tests that drive it, so that they never run an older one.

fn main() -> std::process::ExitCode {
    kontiki::main()
}
