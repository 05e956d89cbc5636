//! What was broken or mended on purpose, on the axes of time.

use proofload_scenarios::scenario::{FaultAction, FaultTarget};

use crate::plot::Plot;
use crate::plot::layer::Layer;
use crate::run::Fault;

/// An upright for each fault, and a column for them in the figures behind a plot over time.
pub fn mark(plot: &mut Plot, faults: &[Fault]) {
    if faults.is_empty() || !plot.chart.x.is_time() {
        return;
    }
    let uprights = faults.iter().map(|fault| Layer::Upright { name: told(fault), value: fault.at_s });
    plot.chart.layers.extend(uprights);
    plot.table.head.push("on purpose".to_owned());
    let starts: Vec<f64> = plot.table.rows.iter().map(|row| row[0].parse().unwrap_or(0.0)).collect();
    for (index, row) in plot.table.rows.iter_mut().enumerate() {
        // The first row takes what came before it, too, and the last what came after.
        let from = if index == 0 { f64::MIN } else { starts[index] };
        let to = starts.get(index + 1).copied().unwrap_or(f64::MAX);
        let within = faults.iter().filter(|fault| (from..to).contains(&fault.at_s));
        row.push(within.map(told).collect::<Vec<_>>().join(", "));
    }
}

/// `On purpose: keygen killed at 2.0 s, keygen started at 5.0 s.`
pub fn remark(faults: &[Fault]) -> Option<String> {
    let moments: Vec<String> =
        faults.iter().map(|fault| format!("{} at {:.1} s", told(fault), fault.at_s)).collect();
    (!moments.is_empty()).then(|| format!("On purpose: {}.", moments.join(", ")))
}

/// `keygen killed`.
pub fn told(fault: &Fault) -> String {
    let whom = match fault.whom {
        FaultTarget::App => "server",
        FaultTarget::Keygen => "keygen",
        FaultTarget::Redis => "Redis",
        FaultTarget::Postgres => "PostgreSQL",
    };
    let what = match (fault.what, fault.whom) {
        (FaultAction::Kill, _) => "killed",
        (FaultAction::Start, _) => "started",
        (FaultAction::Restart, _) => "restarted",
        (FaultAction::Flush, FaultTarget::App) => "cache emptied",
        (FaultAction::Flush, _) => "flushed",
        (FaultAction::Dump, _) => "dumped",
        (FaultAction::Restore, _) => "set back",
    };
    format!("{whom} {what}")
}
