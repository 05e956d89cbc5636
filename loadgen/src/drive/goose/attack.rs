//! An attack: one run of Goose, from the launch of its users to the end of the last.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use goose::config::GooseConfiguration;
use goose::goose::{GooseUser, Scenario, Transaction, TransactionFunction};
use goose::{GooseAttack, GooseError};
use proofload_scenarios::scenario::Journey;
use tokio::time::{sleep, timeout};

use super::super::worker::WorkerResult;
use super::super::{Drive, DriveError, stopped, timeline};
use super::Journeys;
use super::stage::Stage;
use super::visitor::{Act, Visitor};
use crate::pace::nanoseconds;
use crate::record::{Timeline, WorkerSlice};

/// How long launching all users may take.
const LAUNCH_WITHIN: Duration = Duration::from_secs(60);
/// How long Goose may take to end once all requests are answered: it looks twice a second, and its users too.
const END_WITHIN: Duration = Duration::from_secs(10);
const WATCH_PERIOD: Duration = Duration::from_millis(2);

/// Runs the attack on this thread. The timeline is told once all users are there.
pub fn run(
    drive: Drive,
    journeys: Journeys,
    begun: Sender<Timeline>,
    slices: Sender<WorkerSlice>,
) -> Result<WorkerResult, DriveError> {
    let broken = |error: &dyn std::fmt::Display| DriveError::Broken(error.to_string());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| broken(&error))?;
    let stage = Arc::new(Stage::new(drive, journeys));
    let attack = attack(&stage).map_err(|error| broken(&error))?;
    let interrupt = Interrupt::save();
    let result = runtime.block_on(async {
        let mut attack = pin!(attack.execute());
        let ended_early = tokio::select! {
            result = &mut attack => {
                let reason = result.err().map_or_else(|| "for no reason".to_owned(), |error| error.to_string());
                return Err(DriveError::Broken(format!("Goose ended before its time: {reason}")));
            }
            ended = direct(&stage, begun, slices, &interrupt) => ended?,
        };
        goose::trigger_killswitch("the measurement is over");
        // An attack that does not end is dropped with its runtime: what was measured stands.
        let _ = timeout(END_WITHIN, attack).await;
        Ok(ended_early)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result.map(|ended_early| stage.conclude(ended_early))
}

fn attack(stage: &Arc<Stage>) -> Result<GooseAttack, GooseError> {
    let drive = &stage.drive;
    let users = drive.load.connections();
    // Goose ends itself only if this program fails to end it.
    let longest = drive.warm_up + drive.measurement + drive.timeout + LAUNCH_WITHIN + END_WITHIN;
    let mut configuration = GooseConfiguration::default();
    configuration.host = Some(drive.target.base());
    configuration.users = Some(users);
    configuration.increase_rate = Some(users.max(10).to_string());
    configuration.run_time = Some(format!("{}s", longest.as_secs() + 1));
    configuration.no_telnet = true;
    configuration.no_print_metrics = true;
    // Goose's own metrics would grow with time, and nobody reads them.
    configuration.no_metrics = true;
    configuration.quiet = 1;
    let mut attack = GooseAttack::initialize_with_config(configuration)?;
    let mut templates = 0..=u16::MAX;
    for journey in &stage.journeys.journeys {
        let acts = journey.steps.iter().map(|step| Act::of(step, &mut templates)).collect();
        attack = attack.register_scenario(scenario(stage, journey, acts)?);
    }
    Ok(attack)
}

/// A journey as Goose walks it: its steps one after the other, again and again.
fn scenario(stage: &Arc<Stage>, journey: &Journey, acts: Vec<Act>) -> Result<Scenario, GooseError> {
    let think = Duration::from_millis(journey.think_time_ms);
    let mut scenario = Scenario::new(&journey.name).set_weight(journey.weight as usize)?;
    if !think.is_zero() {
        scenario = scenario.set_wait_time(think, think)?;
    }
    scenario = scenario.register_transaction(enter(stage).set_name("enter").set_on_start());
    for (index, act) in acts.into_iter().enumerate() {
        let name = format!("{act:?}");
        let transaction = walk(stage, act, index == 0).set_name(&name).set_sequence(index + 1);
        scenario = scenario.register_transaction(transaction);
    }
    Ok(scenario)
}

/// A user enters with a client of its own, so with a connection of its own, and waits for the others.
fn enter(stage: &Arc<Stage>) -> Transaction {
    let stage = Arc::clone(stage);
    let function: TransactionFunction = Arc::new(move |user: &mut GooseUser| {
        let stage = Arc::clone(&stage);
        Box::pin(async move {
            let visitor = Visitor::new(&stage, user.weighted_users_index as u64);
            user.set_session_data(visitor);
            user.set_client_builder(stage.client_builder()).await.map_err(Box::new)?;
            stage.wait_for_all().await;
            Ok(())
        })
    });
    Transaction::new(function)
}

/// One step. With the first of a journey a new walk begins.
fn walk(stage: &Arc<Stage>, act: Act, first: bool) -> Transaction {
    let stage = Arc::clone(stage);
    let function: TransactionFunction = Arc::new(move |user: &mut GooseUser| {
        let stage = Arc::clone(&stage);
        Box::pin(async move {
            let client = user.client.clone();
            // Without a visitor the user could not enter; then it does nothing.
            if let Some(visitor) = user.get_session_data_mut::<Visitor>() {
                if first {
                    visitor.set_out(&stage);
                }
                visitor.walk(&stage, &client, act).await;
            }
            Ok(())
        })
    });
    Transaction::new(function)
}

/// Begins when all users are there, and ends when the time is over and the last answer has come. Says why, if that is
/// before its time.
async fn direct(
    stage: &Stage,
    begun: Sender<Timeline>,
    slices: Sender<WorkerSlice>,
    interrupt: &Interrupt,
) -> Result<Option<String>, DriveError> {
    let launched = timeout(LAUNCH_WITHIN, async {
        let mut all = pin!(stage.all_launched());
        // Goose puts its handler there at some moment of the launch.
        while !stopped(&stage.drive) && timeout(WATCH_PERIOD, all.as_mut()).await.is_err() {
            interrupt.restore();
        }
        interrupt.restore();
    });
    if launched.await.is_err() {
        let text = format!("Goose did not launch its users within {LAUNCH_WITHIN:?}");
        return Err(DriveError::Broken(text));
    }
    let timeline = timeline(&stage.drive, stage.clock);
    stage.begin(timeline, slices);
    let _ = begun.send(timeline);
    let ended_early = loop {
        sleep(WATCH_PERIOD).await;
        let now = stage.clock.now();
        stage.tick(now);
        if stopped(&stage.drive) {
            break Some("stopped before its time".to_owned());
        }
        if let Some(reason) = stage.death(nanoseconds(stage.drive.patience)) {
            break Some(reason);
        }
        if now >= timeline.end || stage.exhausted() {
            break None;
        }
    };
    stage.end();
    // No request outlives its time limit, so this ends.
    while stage.under_way() > 0 {
        sleep(WATCH_PERIOD).await;
    }
    stage.finish();
    Ok(ended_early)
}

/// What an interrupt from the keyboard does. Goose takes it over for good, and ends the process at the second one without
/// any clean-up: child processes and temporary files would stay.
struct Interrupt(libc::sigaction);

impl Interrupt {
    fn save() -> Self {
        // SAFETY: a null action asks for the present one only, which is written to the local.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGINT, std::ptr::null(), &mut action);
            Self(action)
        }
    }

    fn restore(&self) {
        // SAFETY: the action is one that the kernel gave for the same signal.
        unsafe { libc::sigaction(libc::SIGINT, &self.0, std::ptr::null_mut()) };
    }
}
