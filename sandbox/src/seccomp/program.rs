//! From rules to a program of the kernel's filter machine (linux/filter.h).
//!
//! For each architecture the numbers of calls part into ranges of one outcome, found by a binary
//! search: a handful of instructions a call, however many rules there are.
use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator};

use super::Instruction;
use super::architecture::Architecture;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const KILL_PROCESS: u32 = 0x8000_0000;
const NOT_IMPLEMENTED: u32 = 0x0005_0000 | nix::libc::ENOSYS.cast_unsigned();
/// Numbers of x32 have this bit (asm/unistd.h).
const X32: u32 = 0x4000_0000;

/// One rule of a call; all conditions must hold.
pub(super) struct Rule {
    pub(super) conditions: Vec<LinuxSeccompArg>,
    pub(super) action: u32,
}

/// The rules of one call.
#[derive(Default)]
pub(super) struct Chain {
    rules: Vec<Rule>,
}

impl Chain {
    /// Rules with conditions go before the one without.
    pub(super) fn add(&mut self, rule: Rule) {
        if rule.conditions.is_empty() {
            self.rules.push(rule);
        } else {
            let position = self
                .rules
                .partition_point(|rule| !rule.conditions.is_empty());
            self.rules.insert(position, rule);
        }
    }
}

/// The calls of one architecture that have rules, and what happens to all others.
pub(super) struct Calls {
    architecture: Architecture,
    fallback: u32,
    chains: BTreeMap<u32, Chain>,
}

impl Calls {
    pub(super) fn new(architecture: Architecture, fallback: u32) -> Calls {
        Calls {
            architecture,
            fallback,
            chains: BTreeMap::new(),
        }
    }

    pub(super) fn chain(&mut self, number: u32) -> &mut Chain {
        self.chains.entry(number).or_default()
    }
}

/// An architecture that is not named is none of the machine's: its processes are killed.
pub(super) fn assemble(calls: &[Calls]) -> Vec<Instruction> {
    let mut program = vec![plain(LOAD, ARCHITECTURE)];
    for calls in calls {
        let section = section(calls);
        program.extend(unless(
            jump(JUMP_IF_EQUAL, calls.architecture as u32),
            section.len(),
        ));
        program.extend(section);
    }
    program.push(plain(RETURN, KILL_PROCESS));
    program
}

fn section(calls: &Calls) -> Vec<Instruction> {
    let mut ranges: Vec<(u32, Vec<Instruction>)> = Vec::new();
    let mut next = 0;
    for (number, chain) in &calls.chains {
        if *number > next {
            ranges.push((next, vec![plain(RETURN, calls.fallback)]));
        }
        ranges.push((*number, chain_code(chain, calls.fallback)));
        next = number + 1;
    }
    ranges.push((next, vec![plain(RETURN, calls.fallback)]));
    if calls.architecture == Architecture::X86_64 {
        ranges.push((X32, vec![plain(RETURN, NOT_IMPLEMENTED)]));
    }
    let mut code = vec![plain(LOAD, NUMBER)];
    code.extend(search(&ranges));
    code
}

/// `ranges` begin at their number; the first at the lowest that can come here.
fn search(ranges: &[(u32, Vec<Instruction>)]) -> Vec<Instruction> {
    if let [(_, code)] = ranges {
        return code.clone();
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let low = search(low);
    let mut code = when(jump(JUMP_IF_GREATER_OR_EQUAL, high[0].0), low.len());
    code.extend(low);
    code.extend(search(high));
    code
}

fn chain_code(chain: &Chain, fallback: u32) -> Vec<Instruction> {
    let mut code = Vec::new();
    for rule in &chain.rules {
        // From the last condition to the first, each knows how far it is to the next rule.
        let mut this = vec![plain(RETURN, rule.action)];
        for condition in rule.conditions.iter().rev() {
            let mut whole = test(condition, this.len());
            whole.append(&mut this);
            this = whole;
        }
        code.extend(this);
    }
    code.push(plain(RETURN, fallback));
    code
}

/// Goes on behind itself when the condition holds, else `rest` further.
fn test(condition: &LinuxSeccompArg, rest: usize) -> Vec<Instruction> {
    let (high, low) = words(condition.index());
    let value = condition.value();
    match condition.op() {
        LinuxSeccompOperator::ScmpCmpEq => masked(high, low, u64::MAX, value, rest),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            masked(high, low, value, condition.value_two().unwrap_or(0), rest)
        }
        LinuxSeccompOperator::ScmpCmpNe => not(masked(high, low, u64::MAX, value, 1), rest),
        LinuxSeccompOperator::ScmpCmpGt => ordered(high, low, JUMP_IF_GREATER, value, rest),
        LinuxSeccompOperator::ScmpCmpGe => {
            ordered(high, low, JUMP_IF_GREATER_OR_EQUAL, value, rest)
        }
        LinuxSeccompOperator::ScmpCmpLe => not(ordered(high, low, JUMP_IF_GREATER, value, 1), rest),
        LinuxSeccompOperator::ScmpCmpLt => {
            not(ordered(high, low, JUMP_IF_GREATER_OR_EQUAL, value, 1), rest)
        }
    }
}

fn masked(high: u32, low: u32, mask: u64, value: u64, rest: usize) -> Vec<Instruction> {
    let (high_mask, low_mask) = halves(mask);
    let (high_value, low_value) = halves(value);
    let mut code = Vec::new();
    // From the last word to the first, each knows how far it is to the next rule.
    for (word, mask, value) in [(low, low_mask, low_value), (high, high_mask, high_value)] {
        if (mask, value) == (0, 0) {
            continue;
        }
        let mut this = vec![plain(LOAD, word)];
        if mask != u32::MAX {
            this.push(plain(AND, mask));
        }
        this.extend(unless(jump(JUMP_IF_EQUAL, value), rest + code.len()));
        this.append(&mut code);
        code = this;
    }
    code
}

/// `compare` is for the low word; the high word decides unless it is the same.
fn ordered(high: u32, low: u32, compare: u16, value: u64, rest: usize) -> Vec<Instruction> {
    let (high_value, low_value) = halves(value);
    let mut end = vec![plain(LOAD, low)];
    end.extend(unless(jump(compare, low_value), rest));
    let mut code = vec![plain(LOAD, high)];
    let equal = unless(jump(JUMP_IF_EQUAL, high_value), rest + end.len());
    code.extend(when(
        jump(JUMP_IF_GREATER, high_value),
        equal.len() + end.len(),
    ));
    code.extend(equal);
    code.extend(end);
    code
}

/// Turns a test round that goes 1 further when it fails.
fn not(mut test: Vec<Instruction>, rest: usize) -> Vec<Instruction> {
    test.push(plain(JUMP, offset(rest)));
    test
}

/// Jumps over `distance` when the test holds.
fn when(test: Test, distance: usize) -> Vec<Instruction> {
    match u8::try_from(distance) {
        Ok(distance) => vec![test.jumping(distance, 0)],
        Err(_) => vec![test.jumping(0, 1), plain(JUMP, offset(distance))],
    }
}

/// Jumps over `distance` when the test fails.
fn unless(test: Test, distance: usize) -> Vec<Instruction> {
    match u8::try_from(distance) {
        Ok(distance) => vec![test.jumping(0, distance)],
        Err(_) => vec![test.jumping(1, 0), plain(JUMP, offset(distance))],
    }
}

fn offset(distance: usize) -> u32 {
    u32::try_from(distance).expect("programs are short")
}

/// A jump that does not know yet how far.
#[derive(Clone, Copy)]
struct Test {
    code: u16,
    value: u32,
}

fn jump(code: u16, value: u32) -> Test {
    Test { code, value }
}

impl Test {
    fn jumping(self, when_true: u8, when_false: u8) -> Instruction {
        instruction(self.code, when_true, when_false, self.value)
    }
}

fn plain(code: u16, value: u32) -> Instruction {
    instruction(code, 0, 0, value)
}

fn instruction(code: u16, when_true: u8, when_false: u8, value: u32) -> Instruction {
    let [c0, c1] = code.to_ne_bytes();
    let [v0, v1, v2, v3] = value.to_ne_bytes();
    u64::from_ne_bytes([c0, c1, when_true, when_false, v0, v1, v2, v3])
}

/// Offsets of the high and the low word of an argument.
fn words(index: usize) -> (u32, u32) {
    let at = ARGUMENTS + 8 * offset(index);
    if cfg!(target_endian = "little") {
        (at + 4, at)
    } else {
        (at, at + 4)
    }
}

/// The high and the low word.
fn halves(value: u64) -> (u32, u32) {
    let low = u32::try_from(value & 0xffff_ffff).expect("it is masked");
    let high = u32::try_from(value >> 32).expect("it is shifted");
    (high, low)
}
