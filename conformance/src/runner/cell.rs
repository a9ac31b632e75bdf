//! One case on one target: from its image to what it leaves behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::container::{Container, Context, Pod, SOON, Trouble};
use super::image::ImageError;
use super::node::{NodeError, NodeFolder};
use super::select::not_here;
use super::spec::for_target;
use super::target::Target;
use super::traces::Traces;
use super::twin::TwinError;
use super::verdict::{Fault, USUAL_EVENTS, faults, shims, text};
use crate::case::expect::Expect;
use crate::case::node::Beside;
use crate::case::step::Act;
use crate::case::{Case, Step};
use crate::report::{Failure, Outcome};

/// A case on a target, to be run.
#[derive(Clone)]
pub struct Job {
    /// The case.
    pub case: Arc<Case>,
    /// The target.
    pub target: Arc<Target>,
    /// What the target lacks of that which the case or its guest needs.
    pub lacks: Option<String>,
    /// What containerd's names of its containers begin with.
    pub id: String,
}

/// What must be seen, of all and of this target alone.
struct Wanted {
    own: Expect,
    /// What the others do, where this target does otherwise.
    common: Option<Expect>,
    /// What the target lacks, so that it must refuse the guest.
    lacks: Option<String>,
}

impl Wanted {
    fn of(job: &Job) -> Self {
        let name = &job.target.name;
        let mut own = job.case.expect.on(name);
        let mut common = job.case.expect.on.contains_key(name).then(|| job.case.expect.on(""));
        let lacks = job.lacks.clone().filter(|_| common.is_none() && own.refused.is_none());
        if lacks.is_some() {
            // A clear refusal names the engine.
            own = Expect { refused: Some(vec![name.clone()]), ..Expect::default() };
        }
        for expect in [Some(&mut own), common.as_mut()].into_iter().flatten() {
            expect.texts_mut().for_each(|text| *text = for_target(text, &job.case, &job.target));
        }
        Self { own, common, lacks }
    }

    /// Whether nothing that follows a Create that succeeded can be right.
    fn only_refusal(&self) -> bool {
        self.own.refused.is_some() && self.common.as_ref().is_none_or(|common| common.refused.is_some())
    }

    /// The events that must come, where anything is said of them. Of deleting runc's shim does not always tell: containerd
    /// 2.1 ends it before its queue is empty.
    fn events(expect: &Expect, case: &Case, target: &Target) -> Option<Vec<String>> {
        let usual =
            || (case.has_usual_steps() && expect.refused.is_none()).then(|| USUAL_EVENTS.map(str::to_owned).to_vec());
        let mut events = expect.events.clone().or_else(usual)?;
        events.retain(|event| event != "delete" || !target.is("runc"));
        Some(events)
    }
}

/// What one container of a case showed.
struct Shown {
    faults: Vec<Fault>,
    /// Whether it did as the others do, where it should not.
    as_others: bool,
    refused: Option<String>,
    context: String,
    log: String,
    traces: Traces,
    shim: Option<PathBuf>,
}

/// Runs a case on a target.
pub async fn run(context: &Arc<Context>, job: &Job) -> Outcome {
    if let Some(reason) = not_here(&job.case, &job.target) {
        return Outcome::NotRun { reason };
    }
    let image = match context.images.of(&job.case, &job.target).await {
        Ok(image) => image,
        Err(ImageError::Twin(error @ TwinError::NoCompiler(_))) => {
            return Outcome::NotRun { reason: error.to_string() };
        }
        Err(error) => return failed(&[Fault::new("image", "an image of the case", error.to_string())], "", "", vec![]),
    };
    let node = match node(job) {
        Ok(node) => node.map(Arc::new),
        Err(error @ NodeError::File { .. }) => {
            return failed(&[Fault::new("node", "the case's node can be made", error.to_string())], "", "", vec![]);
        }
        Err(error) => return Outcome::NotRun { reason: error.to_string() },
    };
    let pod = match pod(context, job, node.as_ref()).await {
        Ok(pod) => pod,
        Err(fault) => return failed(&[fault], "", "", vec![]),
    };
    let wanted = Arc::new(Wanted::of(job));
    let mut running = JoinSet::new();
    for copy in 0..job.case.copies {
        let id = if job.case.copies == 1 { job.id.clone() } else { format!("{}-{copy}", job.id) };
        let in_pod = pod.first().map(|sandbox| Pod { kind: "container", sandbox: sandbox.id.clone() });
        let container = Container::new(context, &job.case, &job.target, image.clone(), id, in_pod, node.clone());
        running.spawn(one(container, job.case.steps(), Arc::clone(&wanted)));
    }
    let mut shown = running.join_all().await;
    // The sandbox is the last to go, as it was the first to come.
    for container in pod.into_iter().rev() {
        shown.push(end(container).await);
    }
    judge(&wanted, shown).await
}

/// The node of its own that the case wants.
fn node(job: &Job) -> Result<Option<NodeFolder>, NodeError> {
    let runtime = job.case.runtime.as_ref().unwrap_or(&job.target.runtime);
    let engine = job.target.engine.as_deref().unwrap_or_default();
    job.case.node.as_ref().map(|node| NodeFolder::make(node, runtime, engine)).transpose()
}

/// The other containers of the case's pod, the sandbox first: all of them run.
async fn pod(context: &Arc<Context>, job: &Job, node: Option<&Arc<NodeFolder>>) -> Result<Vec<Container>, Fault> {
    let Some(name) = &job.case.pod else { return Ok(Vec::new()) };
    let usual =
        || Beside { target: None, guest: "probe".to_owned(), args: vec!["sleep".into(), "3600".into()], sandbox: true };
    let has_sandbox = job.case.beside.iter().any(|beside| beside.sandbox);
    let mut members: Vec<_> = (!has_sandbox).then(usual).into_iter().chain(job.case.beside.iter().cloned()).collect();
    members.sort_by_key(|beside| !beside.sandbox);
    let sandbox = format!("{}-{name}", job.id);
    let mut pod = Vec::new();
    for (at, member) in members.iter().enumerate() {
        let id = if at == 0 { sandbox.clone() } else { format!("{sandbox}-{at}") };
        let kind = if at == 0 { "sandbox" } else { "container" };
        let member = beside(context, job, member, id, Pod { kind, sandbox: sandbox.clone() }, node).await;
        match member {
            Ok(container) => pod.push(container),
            Err(fault) => {
                for mut container in pod {
                    let _ = container.remove().await;
                }
                return Err(fault);
            }
        }
    }
    Ok(pod)
}

/// Starts a container of the case's pod.
async fn beside(
    context: &Arc<Context>,
    job: &Job,
    beside: &Beside,
    id: String,
    pod: Pod,
    node: Option<&Arc<NodeFolder>>,
) -> Result<Container, Fault> {
    let about = |what: &str| format!("{what} of the pod's container {id}");
    let target = match &beside.target {
        // Whoever is beside it has the case's shim, so a runtime of another name has no part in it.
        Some(name) => {
            Target::named(name).map(|other| Arc::new(Target { runtime: job.target.runtime.clone(), ..other }))
        }
        None => Some(Arc::clone(&job.target)),
    };
    let target =
        target.ok_or_else(|| Fault::new(about("target"), "the name of a target", format!("{:?}", beside.target)))?;
    let case = member(&job.case, beside);
    let image = context.images.of(&case, &target).await;
    let image = image.map_err(|error| Fault::new(about("image"), "it can be made", error.to_string()))?;
    let mut container = Container::new(context, &Arc::new(case), &target, image, id.clone(), Some(pod), node.cloned());
    for act in [Act::Create {}, Act::Start {}] {
        if let Err(trouble) = container.step(&Step { act, exec: None, fails: None }).await {
            let _ = container.remove().await;
            return Err(fault(&about(&container.at), &trouble));
        }
    }
    Ok(container)
}

/// A case that is nothing but the probe, which waits.
fn idle() -> Case {
    let text = "name = \"idle\"\nabout = \"it waits\"\nargs = [\"sleep\", \"3600\"]";
    toml::from_str(text).expect("it has all that a case must have, and nothing else")
}

/// What containerd says where the runtime of a target is not installed.
pub async fn missing(context: &Arc<Context>, target: &Arc<Target>, id: String) -> Option<String> {
    let case = Arc::new(idle());
    // Where there is no image, its cells tell why.
    let image = context.images.of(&case, target).await.ok()?;
    let mut container = Container::new(context, &case, target, image, id, None, None);
    let _ = container.step(&Step { act: Act::Create {}, exec: None, fails: None }).await;
    let refused = container.seen.refused.take();
    let _ = container.remove().await;
    refused.filter(|message| ["not installed", "executable file not found"].iter().any(|words| message.contains(words)))
}

/// A container of a pod beside the case's own, as a case.
fn member(case: &Case, beside: &Beside) -> Case {
    let mut member = idle();
    member.area.clone_from(&case.area);
    member.runtime.clone_from(&case.runtime);
    member.guest.clone_from(&beside.guest);
    member.args.clone_from(&beside.args);
    member
}

/// Ends a container of the pod, which must still be running.
async fn end(mut pod: Container) -> Shown {
    let log = pod.log_shown();
    let mut faults = Vec::new();
    if let Err(trouble) =
        pod.step(&Step { act: Act::State { is: "running".to_owned() }, exec: None, fails: None }).await
    {
        faults.push(fault(&format!("{} of {}, beside it", pod.at, pod.id), &trouble));
    }
    if let Err(error) = pod.remove().await {
        faults.push(Fault::new("clean up", "the pod's containers can be removed", error));
    }
    let (shim, traces) = (pod.seen.shim.clone(), pod.traces.clone());
    Shown { faults, as_others: false, refused: None, context: String::new(), log, traces, shim }
}

/// Runs one container through its steps.
async fn one(mut container: Container, steps: Vec<Step>, wanted: Arc<Wanted>) -> Shown {
    let (case, target) = (Arc::clone(&container.case), Arc::clone(&container.target));
    let began = Instant::now();
    let mut found = Vec::new();
    match tokio::time::timeout(case.timeout(), go(&mut container, &steps, &wanted)).await {
        Ok(Ok(())) => {}
        Ok(Err(trouble)) => found.push(fault(&container.at, &trouble)),
        Err(_) => {
            let state = container.context.containerd.state(&container.id, "");
            let state = match tokio::time::timeout(SOON, state).await {
                Ok(Ok(state)) => format!("its state is {}", state.status),
                Ok(Err(error)) => format!("its state can't be asked for: {error}"),
                Err(_) => "its state can't be asked for: no answer".to_owned(),
            };
            let expected = format!("all steps are done within {:?}", case.timeout());
            found.push(Fault::new(&container.at, expected, format!("it hangs at {}; {state}", container.at)));
        }
    }
    let stepped = began.elapsed();
    let events = Wanted::events(&wanted.own, &case, &target);
    // What hangs shows nothing more.
    container.look(events.as_deref().filter(|_| found.is_empty())).await;
    if target.is("runc") {
        container.seen.events.retain(|event| event.name != "delete");
    }
    let mut as_others = false;
    if found.is_empty() {
        found = faults(&wanted.own, events.as_deref(), &container.seen);
        if let Some(common) = &wanted.common {
            let events = Wanted::events(common, &case, &target);
            as_others = faults(common, events.as_deref(), &container.seen).is_empty();
            if as_others && wanted.own.sometimes {
                (as_others, found) = (false, Vec::new());
            }
        }
    }
    let context = if found.is_empty() && !as_others { String::new() } else { about(&container, stepped) };
    let log = if found.is_empty() { String::new() } else { container.log_shown() };
    let refused = container.seen.refused.clone();
    if let Err(error) = container.remove().await {
        found.push(Fault::new("clean up", "the container can be removed", error));
    }
    let (shim, traces) = (container.seen.shim.clone(), container.traces.clone());
    Shown { faults: found, as_others, refused, context, log, traces, shim }
}

async fn go(container: &mut Container, steps: &[Step], wanted: &Wanted) -> Result<(), Trouble> {
    for step in steps {
        let taken = container.step(step).await;
        if container.seen.refused.is_some() {
            // Whether it had to be is seen from what was expected.
            return Ok(());
        }
        taken?;
        if matches!(step.act, Act::Create {}) && wanted.only_refusal() {
            return Ok(());
        }
    }
    Ok(())
}

fn fault(at: &str, trouble: &Trouble) -> Fault {
    match trouble {
        Trouble::Refused(error) => Fault::new(at, format!("{at} succeeds"), error.message()),
        Trouble::Unmet { expected, seen } => Fault::new(at, expected, seen),
    }
}

/// All that was seen of a container, for who looks for the cause.
fn about(container: &Container, took: Duration) -> String {
    let seen = &container.seen;
    let mut lines = Vec::new();
    let exits: Vec<_> = seen.exits.iter().map(|(who, code)| format!("{code} by {who}")).collect();
    if !exits.is_empty() {
        lines.push(format!("exit code: {}", exits.join(", ")));
    }
    for (name, bytes) in [("stdout", &seen.stdout), ("stderr", &seen.stderr)] {
        if !bytes.is_empty() {
            lines.push(format!("{name}: {}", text(&String::from_utf8_lossy(bytes))));
        }
    }
    let events: Vec<_> = seen.events.iter().map(|event| event.name.as_str()).collect();
    lines.push(format!("events: {}", if events.is_empty() { "none".to_owned() } else { events.join(", ") }));
    lines.push(format!("took: {} ms", took.as_millis()));
    lines.join("\n")
}

/// From what its containers showed to how the cell ended, leaks included.
async fn judge(wanted: &Wanted, shown: Vec<Shown>) -> Outcome {
    let traces: Vec<_> = shown.iter().map(|shown| shown.traces.clone()).collect();
    let leaks = leaks(traces).await;
    let mut found: Vec<Fault> = shown.iter().flat_map(|shown| shown.faults.clone()).collect();
    let served: Vec<_> = shown.iter().map(|shown| shown.shim.clone()).collect();
    found.extend(shims(&wanted.own, &served));
    let many = found.len();
    found.dedup();
    if let Some(first) = found.first_mut().filter(|_| shown.len() > 1) {
        first.seen = format!("{} ({} containers, {many} faults)", first.seen, shown.len());
    }
    if shown.iter().any(|shown| shown.as_others) {
        found.clear();
        let expected = "it does otherwise than the others, as the case says of it";
        found.push(Fault::new("expect.on", expected, "it does as the others: take what is said of it out of the case"));
    }
    if !leaks.is_empty() {
        let seen = format!("{} left behind {SOON:?} later", leaks.len());
        found.push(Fault::new("leaks", "nothing is left of the container", seen));
    }
    let worst = shown.iter().find(|shown| !shown.context.is_empty());
    let (context, log) = worst.map_or(("", ""), |shown| (&shown.context, &shown.log));
    if !found.is_empty() {
        return failed(&found, context, log, leaks);
    }
    if let Some(because) = &wanted.own.because {
        return Outcome::ExpectedDifference { because: because.clone() };
    }
    if let Some(lacks) = &wanted.lacks {
        let refused = shown.into_iter().find_map(|shown| shown.refused).unwrap_or_default();
        return Outcome::NotOffered { reason: format!("no {lacks}: {refused}") };
    }
    Outcome::Passed
}

/// What is left of containers, once it has had time to go.
async fn leaks(traces: Vec<Traces>) -> Vec<String> {
    let deadline = Instant::now() + SOON;
    let mut pause = Duration::from_millis(5);
    let traces = Arc::new(traces);
    loop {
        let all = Arc::clone(&traces);
        let looked = tokio::task::spawn_blocking(move || all.iter().flat_map(Traces::left).collect::<Vec<_>>());
        let left = looked.await.unwrap_or_else(|error| vec![format!("the search for leaks ended: {error}")]);
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        // Nothing tells that a process or a mount is gone.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

fn failed(faults: &[Fault], context: &str, log: &str, leaks: Vec<String>) -> Outcome {
    let mut failure = Failure { log: log.to_owned(), leaks, ..Failure::default() };
    if let [first, more @ ..] = faults {
        failure.step.clone_from(&first.step);
        failure.expected.clone_from(&first.expected);
        failure.seen.clone_from(&first.seen);
        for fault in more.iter().take(8) {
            failure.seen += &format!("\nalso {}: expected {}, seen {}", fault.step, fault.expected, fault.seen);
        }
    }
    if !context.is_empty() {
        failure.seen += &format!("\n\n{context}");
    }
    Outcome::Failed { failure }
}
