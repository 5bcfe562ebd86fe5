//! How many pods may be too many or too few during a rollout.

use api::int_or_string::{IntOrString, Rounding};
use k8s_openapi::api::apps::v1::DeploymentSpec;
use k8s_openapi::apimachinery::pkg::util::intstr;

use super::wanted;

/// Both in pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) surge: i32,
    pub(super) unavailable: i32,
}

/// Percentages of the wanted pods: surge rounded up, unavailable rounded down. Both zero would stand still.
pub(super) fn budget(spec: &DeploymentSpec) -> Budget {
    let strategy = spec.strategy.as_ref();
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        return Budget { surge: 0, unavailable: 0 };
    }
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let total = i64::from(wanted(spec));
    let scale = |value: Option<&intstr::IntOrString>, rounding| {
        let value = match value {
            Some(intstr::IntOrString::Int(number)) => IntOrString::Int(i64::from(*number)),
            Some(intstr::IntOrString::String(text)) => IntOrString::Str(text.clone()),
            None => IntOrString::Str("25%".to_owned()),
        };
        value.scaled(total, rounding).and_then(|number| i32::try_from(number).ok()).unwrap_or(0)
    };
    let surge = scale(rolling.and_then(|rolling| rolling.max_surge.as_ref()), Rounding::Up);
    let unavailable = scale(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), Rounding::Down);
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    Budget { surge, unavailable: unavailable.min(wanted(spec)) }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};

    use super::*;

    #[test]
    fn surge_rounds_up_and_unavailable_down() {
        for (replicas, surge, unavailable, expect) in [
            (10, "25%", "25%", (3, 2)),
            (4, "25%", "25%", (1, 1)),
            (1, "25%", "25%", (1, 0)),
            (3, "0", "0", (0, 1)),
            (3, "0%", "10%", (0, 1)),
            (2, "100%", "5", (2, 2)),
            (0, "25%", "25%", (0, 0)),
        ] {
            let value = |text: &str| match text.parse() {
                Ok(number) => intstr::IntOrString::Int(number),
                Err(_) => intstr::IntOrString::String(text.to_owned()),
            };
            let rolling =
                RollingUpdateDeployment { max_surge: Some(value(surge)), max_unavailable: Some(value(unavailable)) };
            let strategy = DeploymentStrategy { type_: None, rolling_update: Some(rolling) };
            let spec =
                DeploymentSpec { replicas: Some(replicas), strategy: Some(strategy), ..DeploymentSpec::default() };
            let budget = budget(&spec);
            assert_eq!((budget.surge, budget.unavailable), expect, "{replicas} {surge} {unavailable}");
        }
    }
}
