//! The time of day, as this process takes it: the machine's, moved by what a test of failover says.
//!
//! Whoever writes a time down, or asks whether a certificate or a token is still good, asks here; so a test that moves the
//! clock of one process ([`shift`]) moves all of it. Nothing else ever does. What passes while something is waited for is
//! no matter of the time of day: that is measured on the monotonic clock, which no test moves and no administrator.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp};

/// How far this process's clock is ahead of the machine's.
static AHEAD_MILLIS: AtomicI64 = AtomicI64::new(0);

/// The time of day.
pub fn now() -> Timestamp {
    ahead_of(Timestamp::now(), shifted())
}

/// The same, for whoever needs it in the standard library's terms.
pub fn system_time() -> SystemTime {
    now().into()
}

/// The same, since 1970; nothing, where the clock is before that.
pub fn since_epoch() -> Duration {
    now().as_duration().try_into().unwrap_or_default()
}

/// How far this process's clock is ahead of the machine's; negative when it is behind.
pub fn shifted() -> SignedDuration {
    SignedDuration::from_millis(AHEAD_MILLIS.load(Ordering::Relaxed))
}

/// Moves this process's clock to be so far ahead of the machine's from now on.
pub fn shift(ahead: SignedDuration) {
    AHEAD_MILLIS.store(i64::try_from(ahead.as_millis()).unwrap_or_default(), Ordering::Relaxed);
}

/// A moment that is out of reach leaves the clock as it is.
fn ahead_of(time: Timestamp, ahead: SignedDuration) -> Timestamp {
    time.checked_add(ahead).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_moved_to_either_side_and_never_out_of_reach() {
        let noon = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(12);
        for (minutes, expect) in
            [(0, "1970-01-01T12:00:00Z"), (90, "1970-01-01T13:30:00Z"), (-60, "1970-01-01T11:00:00Z")]
        {
            assert_eq!(ahead_of(noon, SignedDuration::from_mins(minutes)).to_string(), expect);
        }
        assert_eq!(ahead_of(noon, SignedDuration::MAX), noon);
        assert_eq!(shifted(), SignedDuration::ZERO, "nobody moves it unasked");
    }
}
