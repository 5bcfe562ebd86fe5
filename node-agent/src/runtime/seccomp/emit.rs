//! Classic BPF for system call filters: neighbouring numbers with one answer become ranges, and ranges a search tree, so
//! that a call costs a handful of comparisons.

/// `AUDIT_ARCH_*` of this build.
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_*` of this build.
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const KILL_PROCESS: u32 = 0x8000_0000;
const ALLOW: u32 = 0x7fff_0000;
const ERROR: u32 = 0x0005_0000;

const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;

/// What happens to a call. Arguments are compared in their lower 32 bits, all that these calls look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Allow,
    Error(i32),
    /// Allowed if none of the bits is set.
    AllowWithout {
        argument: u32,
        bits: u32,
    },
    /// Allowed if the argument is one of the values.
    AllowOnly {
        argument: u32,
        values: &'static [u32],
    },
    /// Allowed unless the argument is the value.
    AllowExcept {
        argument: u32,
        value: u32,
    },
}

/// One system call and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    number: u32,
    answer: Answer,
}

impl Rule {
    pub(super) fn new(number: i64, answer: Answer) -> Self {
        // System call numbers are small; one that is not would be a build for an unknown machine.
        Self { number: u32::try_from(number).unwrap_or(u32::MAX), answer }
    }
}

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> u64 {
    u64::from(code) << 48 | u64::from(jt) << 40 | u64::from(jf) << 32 | u64::from(k)
}

/// The whole filter. Numbers between the rules get `other`, numbers above them `above`.
pub(super) fn program(mut rules: Vec<Rule>, other: Answer, above: Answer) -> Vec<u64> {
    rules.sort_by_key(|rule| rule.number);
    rules.dedup_by_key(|rule| rule.number);
    let mut ranges: Vec<(u32, Answer)> = vec![(0, other)];
    let mut add = |start: u32, answer: Answer| match ranges.last_mut() {
        Some(last) if last.0 == start => last.1 = answer,
        Some(last) if last.1 == answer => {}
        _ => ranges.push((start, answer)),
    };
    let last = rules.last().map_or(0, |rule| rule.number);
    for rule in rules {
        add(rule.number, rule.answer);
        add(rule.number + 1, if rule.number == last { above } else { other });
    }
    let ranges = merged(ranges);
    let mut code = vec![
        instruction(LOAD, 0, 0, ARCHITECTURE_OFFSET),
        instruction(JUMP_EQUAL, 1, 0, ARCHITECTURE),
        instruction(RETURN, 0, 0, KILL_PROCESS),
        instruction(LOAD, 0, 0, NUMBER_OFFSET),
    ];
    code.extend(search(&ranges, other));
    code
}

/// A range that was given the answer of its left neighbour after the fact joins it.
fn merged(ranges: Vec<(u32, Answer)>) -> Vec<(u32, Answer)> {
    let mut merged: Vec<(u32, Answer)> = Vec::with_capacity(ranges.len());
    for range in ranges {
        if merged.last().is_none_or(|last| last.1 != range.1) {
            merged.push(range);
        }
    }
    merged
}

fn search(ranges: &[(u32, Answer)], other: Answer) -> Vec<u64> {
    if let [(_, answer)] = ranges {
        return leaf(*answer, other);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let (below, from) = (search(low, other), search(high, other));
    let mut code = match u8::try_from(below.len()) {
        Ok(distance) => vec![instruction(JUMP_AT_LEAST, distance, 0, high[0].0)],
        Err(_) => {
            // Conditional jumps reach 255 instructions; the plain one reaches all.
            let distance = u32::try_from(below.len()).unwrap_or(u32::MAX);
            vec![instruction(JUMP_AT_LEAST, 0, 1, high[0].0), instruction(JUMP, 0, 0, distance)]
        }
    };
    code.extend(below);
    code.extend(from);
    code
}

fn leaf(answer: Answer, other: Answer) -> Vec<u64> {
    let load = |argument: u32| instruction(LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * argument);
    let allow = instruction(RETURN, 0, 0, ALLOW);
    match answer {
        Answer::Allow => vec![allow],
        Answer::Error(number) => vec![instruction(RETURN, 0, 0, ERROR | number.cast_unsigned())],
        Answer::AllowWithout { argument, bits } => {
            let mut code = vec![load(argument), instruction(JUMP_ANY_BIT, 1, 0, bits), allow];
            code.extend(leaf(other, other));
            code
        }
        Answer::AllowExcept { argument, value } => {
            let mut code = vec![load(argument), instruction(JUMP_EQUAL, 1, 0, value), allow];
            code.extend(leaf(other, other));
            code
        }
        Answer::AllowOnly { argument, values } => {
            let mut code = vec![load(argument)];
            for value in values {
                code.extend([instruction(JUMP_EQUAL, 0, 1, *value), allow]);
            }
            code.extend(leaf(other, other));
            code
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Runs a filter as the kernel does, with `first` as the call's first argument.
    pub(crate) fn run(code: &[u64], architecture: u32, call: i64, first: u64) -> u32 {
        let mut accumulator = 0;
        let mut at = 0;
        loop {
            let packed = code[at].to_be_bytes();
            let [c1, c0, jt, jf, k0, k1, k2, k3] = packed;
            let k = u32::from_be_bytes([k0, k1, k2, k3]);
            at += 1;
            let jump = |yes: bool| usize::from(if yes { jt } else { jf });
            match u16::from_be_bytes([c1, c0]) {
                LOAD => {
                    accumulator = match k {
                        NUMBER_OFFSET => u32::try_from(call).unwrap(),
                        ARCHITECTURE_OFFSET => architecture,
                        ARGUMENTS_OFFSET => u32::try_from(first).unwrap(),
                        other => panic!("load from {other}"),
                    }
                }
                JUMP => at += k as usize,
                JUMP_EQUAL => at += jump(accumulator == k),
                JUMP_AT_LEAST => at += jump(accumulator >= k),
                JUMP_ANY_BIT => at += jump(accumulator & k != 0),
                RETURN => return k,
                other => panic!("operation {other:#x}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::run, *};

    #[test]
    fn every_number_gets_its_answer_in_trees_of_any_size() {
        for count in [1_u32, 2, 7, 300] {
            // Every third number is allowed, so that nothing merges.
            let rules: Vec<_> = (0..count).map(|index| Rule::new(i64::from(index * 3 + 1), Answer::Allow)).collect();
            let code = program(rules, Answer::Error(1), Answer::Error(38));
            for number in 0..count * 3 + 5 {
                let expect = match number {
                    number if number > (count - 1) * 3 + 1 => ERROR | 38,
                    number if number % 3 == 1 => ALLOW,
                    _ => ERROR | 1,
                };
                assert_eq!(run(&code, ARCHITECTURE, i64::from(number), 0), expect, "{number} of {count}");
            }
        }
    }
}
