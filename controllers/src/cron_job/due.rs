//! Which time of the schedule is due, and when the next one is.

use jiff::{SignedDuration, Timestamp};

use super::timetable::Timetable;
use super::{View, owner};
use crate::plan::{Plan, warning};

/// From so many times missed on, a clock must be wrong, or nobody has acted for long.
const MANY: i64 = 100;

/// What the schedule asks for.
pub(super) struct Due {
    /// The last time that has passed and begun no Job yet; those before it are not made up for.
    pub(super) time: Option<Timestamp>,
    /// The next time.
    pub(super) next: Option<Timestamp>,
}

/// The last time of a schedule up to now, counted from a beginning.
struct Recent {
    earliest: Timestamp,
    time: Option<Timestamp>,
    missed: i64,
}

pub(super) fn due(plan: &mut Plan, view: &View<'_>, last: Option<Timestamp>, timetable: &Timetable) -> Due {
    let about = owner(view.cron_job).about();
    let created = view.cron_job.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let since = last.or(created).unwrap_or(view.now);
    let deadline = view.cron_job.spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    let closed = deadline.and_then(|deadline| view.now.checked_sub(deadline).ok());
    let found = recent(timetable, closed.map_or(since, |closed| closed.max(since)), view.now);
    let (Some(found), Some(all)) = (found, recent(timetable, since, view.now)) else {
        let schedule = &view.cron_job.spec.schedule;
        let message =
            format!("invalid schedule: {schedule} : time difference between two schedules is less than 1 second");
        plan.notes.push(warning(&about, "InvalidSchedule", message));
        return Due { time: None, next: None };
    };
    let next = timetable.next(all.time.unwrap_or(all.earliest));
    let Some(time) = found.time else { return Due { time: None, next } };
    if found.missed > MANY {
        let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.notes.push(warning(&about, "TooManyMissedTimes", message));
    }
    if closed.is_some_and(|closed| time < closed) {
        let missed = time.strftime("%a, %d %b %Y %H:%M:%S UTC");
        let message = format!("Missed scheduled time to start a job: {missed}");
        plan.notes.push(warning(&about, "MissSchedule", message));
        return Due { time: None, next };
    }
    Due { time: Some(time), next }
}

/// `None`: the schedule has no times. Those in between are not gone through one by one: a clock that is wrong by years
/// must not keep the controller busy.
fn recent(timetable: &Timetable, earliest: Timestamp, now: Timestamp) -> Option<Recent> {
    let first = timetable.next(earliest)?;
    if now < first {
        return Some(Recent { earliest, time: None, missed: 0 });
    }
    let second = timetable.next(first)?;
    if now < second {
        return Some(Recent { earliest, time: Some(first), missed: 0 });
    }
    let between = second.duration_since(first).as_secs();
    if between < 1 {
        return None;
    }
    let missed = now.duration_since(first).as_secs() / between + 1;
    // From one step before the last one of a regular schedule: keeps `@every` in step, and finds most others from there.
    let jump = SignedDuration::from_secs((missed - 2).saturating_mul(between));
    let mut time = None;
    let mut from = first.checked_add(jump).ok()?;
    while let Some(next) = timetable.next(from).filter(|next| *next <= now) {
        (time, from) = (Some(next), next);
    }
    // "Each weekday at nine" asked on a Sunday: the last time lies before the place that was jumped to.
    let time = time.unwrap_or_else(|| last_between(timetable, first, now));
    Some(Recent { earliest, time: Some(time), missed })
}

/// The last time of the schedule from `time`, which is one, up to now: by halving what is between.
fn last_between(timetable: &Timetable, mut time: Timestamp, now: Timestamp) -> Timestamp {
    let mut end = now;
    while let Ok(half) = time.checked_add(end.duration_since(time) / 2) {
        match timetable.next(half).filter(|next| *next <= now) {
            Some(later) => time = later,
            None if end <= half || half <= time => break,
            None => end = half,
        }
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_of_an_irregular_schedule_is_found_after_long_silence() {
        let timetable = |schedule| Timetable::new(schedule, None).unwrap();
        for (schedule, since, now, last, missed) in [
            // 2026-03-02 is a Monday.
            ("0 9 * * 1-5", "2026-03-02T08:00:00Z", "2026-03-08T12:00:00Z", "2026-03-06T09:00:00Z", 7),
            ("* * 1 1 *", "2025-12-31T00:00:00Z", "2026-11-30T00:00:00Z", "2026-01-01T23:59:00Z", 479_521),
            ("0 0 29 2 *", "1996-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "2028-02-29T00:00:00Z", 9),
            ("@every 7h", "2026-01-01T01:00:00Z", "2026-01-03T00:00:00Z", "2026-01-02T19:00:00Z", 6),
        ] {
            let [since, now, last] = [since, now, last].map(|time| time.parse::<Timestamp>().unwrap());
            let found = recent(&timetable(schedule), since, now).unwrap();
            assert_eq!((found.time, found.missed), (Some(last), missed), "{schedule}");
        }
    }
}
