use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::{Failure, output};

/// Writes a completion script for a shell to standard output.
///
/// For bash: mkdir -p ~/.local/share/bash-completion/completions, then
/// mini-buildd completion bash > ~/.local/share/bash-completion/completions/mini-buildd
#[derive(Args, Debug)]
pub(super) struct Options {
    shell: Shell,
}

pub(super) fn run(options: &Options, command: &clap::Command) -> Result<ExitCode, Failure> {
    output::write(&script(options.shell, command))?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell, command: &clap::Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(command), "mini-buildd", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    // clap_complete 4.6 names a program with a dash differently where it remembers a subcommand and where it asks.
    script.replace("mini__subcmd__buildd", "mini__buildd")
}

/// The command without what is hidden, which clap_complete would offer.
fn shown(command: &clap::Command) -> clap::Command {
    let subcommands = command.get_subcommands();
    clap::Command::new("mini-buildd")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(command.get_arguments().cloned())
        .subcommands(subcommands.filter(|known| !known.is_hide_set()).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_completes_options_of_subcommands() {
        let script = script(Shell::Bash, &super::super::command());
        let remembered = script.contains("cmd=\"mini__buildd__subcmd__demo\"");
        let asked = script.contains("mini__buildd__subcmd__demo)\n            opts=");
        assert!(remembered && asked, "{script}");
    }

    #[test]
    fn hidden_commands_are_not_offered() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell, &super::super::command());
            assert!(script.contains("doctor"), "{shell}");
            for hidden in ["supervise", "documents"] {
                assert!(!script.contains(hidden), "{shell}: {hidden}");
            }
        }
    }
}
