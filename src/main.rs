//! Program name and arguments → one function of `cli`.
use std::path::Path;

fn main() {
    sandbox::helper_main(std::env::args_os().skip(1));
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let [command, directory] = arguments.as_slice()
        && command == "supervise"
    {
        std::process::exit(mini_buildd::build::supervisor::main(Path::new(directory)));
    }
}
