//! Schedules as CronJobs write them: five fields, a `@name`, or `@every` and a duration.
//!
//! Grammar and error texts are those of `robfig/cron` version 3's standard parser, with whose words Kubernetes refuses
//! a schedule.

/// The minutes at which something is to happen: one set of numbers a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Minutes of an hour.
    pub minutes: u64,
    /// Hours of a day.
    pub hours: u64,
    /// Days of a month.
    pub days: u64,
    /// Months of a year.
    pub months: u64,
    /// Days of a week, from Sunday, which is 0.
    pub weekdays: u64,
    /// Whether the days of the month say anything; if only one of them does, it alone counts.
    pub any_day: bool,
    /// Whether the days of the week say nothing.
    pub any_weekday: bool,
}

/// When something is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At these minutes.
    At(Fields),
    /// Every so many seconds.
    Every(u64),
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The numbers a field may have, and names for them, counted from the lowest.
struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOUR: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAY: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTH: Bounds = Bounds { min: 1, max: 12, names: &MONTHS };
const WEEKDAY: Bounds = Bounds { min: 0, max: 6, names: &WEEKDAYS };

fn error<T>(text: impl Into<String>) -> Result<T, CronError> {
    Err(CronError(text.into()))
}

impl Schedule {
    /// Reads a schedule. A zone before it is skipped: whoever knows the zones checks it.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        if text.is_empty() {
            return error("empty spec string");
        }
        let mut text = text;
        if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
            text = text.split_once(' ').map_or("", |(_, rest)| rest.trim());
        }
        if text.starts_with('@') {
            return named(text);
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return error(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        let (minutes, _) = field(minute, &MINUTE)?;
        let (hours, _) = field(hour, &HOUR)?;
        let (days, any_day) = field(day, &DAY)?;
        let (months, _) = field(month, &MONTH)?;
        let (weekdays, any_weekday) = field(weekday, &WEEKDAY)?;
        Ok(Self::At(Fields { minutes, hours, days, months, weekdays, any_day, any_weekday }))
    }
}

fn named(text: &str) -> Result<Schedule, CronError> {
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(duration) = text.strip_prefix("@every ") else {
                return error(format!("unrecognized descriptor: {text}"));
            };
            return match crate::json::parse_duration(duration) {
                // As upstream: whole seconds, and never more often than once a second.
                Ok(nanos) => Ok(Schedule::Every(u64::try_from(nanos / 1_000_000_000).unwrap_or(0).max(1))),
                Err(problem) => error(format!("failed to parse duration {text}: {problem}")),
            };
        }
    };
    Schedule::parse(fields)
}

/// The numbers of a field, and whether it says nothing.
fn field(text: &str, bounds: &Bounds) -> Result<(u64, bool), CronError> {
    let (mut bits, mut any) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (more, star) = range(part, bounds)?;
        bits |= more;
        any |= star;
    }
    Ok((bits, any))
}

/// `*`, `5`, `1-7`, each perhaps with `/2` behind it.
fn range(text: &str, bounds: &Bounds) -> Result<(u64, bool), CronError> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let (mut any, single) = (false, ends.len() == 1);
    let (start, mut end) = match ends.as_slice() {
        ["*" | "?", ..] => {
            any = true;
            (bounds.min, bounds.max)
        }
        [one] => {
            let number = number_or_name(one, bounds)?;
            (number, number)
        }
        [low, high] => (number_or_name(low, bounds)?, number_or_name(high, bounds)?),
        _ => return error(format!("too many hyphens: {text}")),
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            if single {
                end = bounds.max;
            }
            // A step makes even a star say something.
            let step = number(step)?;
            any &= step <= 1;
            step
        }
        _ => return error(format!("too many slashes: {text}")),
    };
    let Bounds { min, max, .. } = *bounds;
    if start < min {
        return error(format!("beginning of range ({start}) below minimum ({min}): {text}"));
    }
    if end > max {
        return error(format!("end of range ({end}) above maximum ({max}): {text}"));
    }
    if start > end {
        return error(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return error(format!("step of range should be a positive number: {text}"));
    }
    let bits = (start..=end).step_by(usize::try_from(step).unwrap_or(usize::MAX)).map(|number| 1_u64 << number).sum();
    Ok((bits, any))
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u64, CronError> {
    let known = bounds.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match known.and_then(|position| u64::try_from(position).ok()) {
        Some(position) => Ok(bounds.min + position),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, CronError> {
    match text.parse::<i64>() {
        Ok(number) => match u64::try_from(number) {
            Ok(number) => Ok(number),
            Err(_) => error(format!("negative number ({number}) not allowed: {text}")),
        },
        Err(_) => error(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_as_sets_of_numbers() {
        let at = |text: &str| match Schedule::parse(text).unwrap() {
            Schedule::At(fields) => fields,
            Schedule::Every(_) => panic!("{text} is a duration"),
        };
        let fields = at("*/15 0-3 1,15 jan-MAR Mon");
        assert_eq!(fields.minutes, 1 | 1 << 15 | 1 << 30 | 1 << 45);
        assert_eq!((fields.hours, fields.days), (0b1111, 1 << 1 | 1 << 15));
        assert_eq!((fields.months, fields.weekdays), (0b1110, 0b10));
        assert!(!fields.any_day && !fields.any_weekday);
        assert!(at("5 * * * *").any_day && !at("0 0 */2 * *").any_day && at("0 0 */1 * ?").any_weekday);
        assert_eq!(at("@hourly"), at("0 * * * *"));
        assert_eq!(at("10/20 * * * *").minutes, 1 << 10 | 1 << 30 | 1 << 50);
        assert_eq!(Schedule::parse("@every 1h30m"), Ok(Schedule::Every(5400)));
        assert_eq!(Schedule::parse("TZ=UTC 0 0 * * *"), Schedule::parse("0 0 * * *"));
    }

    #[test]
    fn what_is_no_schedule_is_refused_in_upstreams_words() {
        for (text, want) in [
            ("", "empty spec string"),
            ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
            ("error", "expected exactly 5 fields, found 1: [error]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("@never", "unrecognized descriptor: @never"),
            ("@every 1x", "failed to parse duration @every 1x: time: unknown unit \"x\" in duration \"1x\""),
        ] {
            assert_eq!(Schedule::parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
