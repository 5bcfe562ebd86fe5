//! The `kontiki` binary.

fn main() -> std::process::ExitCode {
    kontiki::main()
}
