//! The README's tables of settings say what `--help` says.

use std::collections::BTreeMap;

use clap::{Args, Command};
use proofload_server::config::ServeArgs;
use proofload_server::keygen::KeygenArgs;

const README: &str = include_str!("../../README.md");

/// Flags and their defaults in the table under a heading.
fn table(heading: &str) -> BTreeMap<String, String> {
    let (_, section) = README.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `--"));
    let flags = rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        (cells[0].trim_start_matches("| ").trim_matches('`').to_owned(), cells[1].to_owned())
    });
    flags.collect()
}

/// The same as `--help` has it.
fn help(command: Command) -> BTreeMap<String, String> {
    let flags = command.get_arguments().filter_map(|argument| {
        let values = argument.get_possible_values();
        let name = match argument.get_value_names() {
            // A few words to choose from say more than a name for them.
            _ if !values.is_empty() => {
                values.iter().map(|value| value.get_name()).collect::<Vec<_>>().join("\\|")
            }
            names => names.expect("each has a name")[0].to_string(),
        };
        Some((format!("--{} {name}", argument.get_long()?), default(argument)))
    });
    flags.collect()
}

/// What clap fills in, or else what the text says happens without the flag.
fn default(argument: &clap::Arg) -> String {
    if let Some(value) = argument.get_default_values().first() {
        return value.to_str().unwrap().to_owned();
    }
    let text = argument.get_help().expect("each is explained").to_string();
    let said = text.split_once("default: ").and_then(|(_, said)| said.split_once(']'));
    let without = if argument.is_required_set() { "required" } else { "none" };
    said.map_or(without.to_owned(), |(said, _)| said.to_owned())
}

#[test]
fn the_tables_of_settings_are_those_of_the_help() {
    let serve = ServeArgs::augment_args(Command::new("serve"));
    let keygen = KeygenArgs::augment_args(Command::new("keygen"));
    for (heading, command) in [("Settings", serve), ("Settings of keygen", keygen)] {
        let (table, help) = (table(heading), help(command));
        assert!(table.len() > 10, "the table was not found: {table:?}");
        for (flag, default) in &help {
            assert_eq!(table.get(flag), Some(default), "{flag} in server/README.md, under {heading}");
        }
        let unknown: Vec<_> = table.keys().filter(|flag| !help.contains_key(*flag)).collect();
        assert_eq!(unknown, Vec::<&String>::new(), "in server/README.md, under {heading}");
    }
}
