//! Timestamps as the API writes them, and durations as kubectl shows them. The clock is always an argument.

use jiff::Timestamp;

/// What an AGE column shows when there is no timestamp.
pub const UNKNOWN: &str = "<unknown>";

/// RFC 3339 in UTC with whole seconds: `metav1.Time`.
pub fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// RFC 3339 in UTC with microseconds: `metav1.MicroTime`.
pub fn format_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads any RFC 3339 timestamp.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// A duration of `seconds` in at most two units, as coarse as it is long.
///
/// One second in the future counts as now, since clocks differ; more is `<invalid>`.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |whole: i64, unit: &str, rest: i64, rest_unit: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{rest_unit}") }
    };
    match seconds {
        i64::MIN..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(hours / 24, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        _ if hours < 24 * 365 * 8 => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// How long ago `timestamp` was, as an AGE column shows it.
pub fn age(timestamp: Option<&str>, now: Timestamp) -> String {
    match timestamp.filter(|text| !text.is_empty()).and_then(parse) {
        // Truncated toward zero, so that half a second in the future is "0s".
        Some(then) => human_duration((now.as_millisecond() - then.as_millisecond()) / 1000),
        None => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_get_coarser_with_length() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        for (seconds, want) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (45, "45s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (10 * MINUTE + 30, "10m"),
            (179 * MINUTE, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 5 * MINUTE, "3h5m"),
            (8 * HOUR + 5 * MINUTE, "8h"),
            (47 * HOUR, "47h"),
            (2 * DAY, "2d"),
            (3 * DAY + 4 * HOUR, "3d4h"),
            (8 * DAY + 4 * HOUR, "8d"),
            (729 * DAY, "729d"),
            (730 * DAY, "2y"),
            (740 * DAY, "2y10d"),
            (8 * 365 * DAY + 9 * DAY, "8y"),
        ] {
            assert_eq!(human_duration(seconds), want);
        }
    }

    #[test]
    fn timestamps_keep_the_api_form() {
        let time = parse("2026-11-23T03:44:30.123456789+01:00").unwrap();
        assert_eq!(format(time), "2026-11-23T02:44:30Z");
        assert_eq!(format_micro(time), "2026-11-23T02:44:30.123456Z");
        assert_eq!(age(Some("2026-11-23T02:44:00Z"), time), "30s");
        assert_eq!(age(None, time), UNKNOWN);
    }
}
