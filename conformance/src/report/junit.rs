//! A report as JUnit XML, which continuous integration shows: a suite for each containerd and target.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::count::Counts;
use super::model::{Cell, Failure, Outcome, Report, Run, Target};

/// The report as XML.
pub fn write(report: &Report) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 1);
    document(&mut writer, report).expect("memory takes all that is written");
    String::from_utf8(writer.into_inner()).expect("what was written is UTF-8")
}

type Xml = Writer<Vec<u8>>;

fn document(writer: &mut Xml, report: &Report) -> io::Result<()> {
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let all = Counts::of_runs(&report.runs);
    let seconds = report.runs.iter().map(|run| run.seconds).sum();
    let suites = writer.create_element("testsuites").with_attribute(("name", "multiwasm-conformance"));
    suites.with_attributes(numbers(all, seconds).iter().map(|(k, v)| (*k, v.as_str()))).write_inner_content(
        |writer| {
            for run in &report.runs {
                run.targets.iter().try_for_each(|target| suite(writer, run, target))?;
            }
            Ok(())
        },
    )?;
    Ok(())
}

fn suite(writer: &mut Xml, run: &Run, target: &Target) -> io::Result<()> {
    let cells: Vec<_> = run.cells.iter().filter(|cell| cell.target == target.name).collect();
    let name = legal(&format!("containerd {} {}", run.containerd.version, target.name));
    let seconds = cells.iter().map(|cell| seconds(cell)).sum();
    let element = writer.create_element("testsuite").with_attribute(("name", name.as_str()));
    let element = element.with_attribute(("timestamp", run.started.to_string().as_str()));
    let numbers = numbers(Counts::of(cells.iter().copied()), seconds);
    element.with_attributes(numbers.iter().map(|(k, v)| (*k, v.as_str()))).write_inner_content(|writer| {
        properties(writer, run, target)?;
        cells.iter().try_for_each(|cell| case(writer, &name, cell))
    })?;
    Ok(())
}

/// The attributes that suites share.
fn numbers(counts: Counts, seconds: f64) -> [(&'static str, String); 5] {
    [
        ("tests", counts.all().to_string()),
        ("failures", counts.failed.to_string()),
        ("errors", "0".to_owned()),
        ("skipped", counts.skipped().to_string()),
        ("time", format!("{seconds:.3}")),
    ]
}

fn properties(writer: &mut Xml, run: &Run, target: &Target) -> io::Result<()> {
    let engine = run.engines.iter().find(|engine| Some(&engine.name) == target.engine.as_ref());
    let engine = engine.map(|engine| ("engine", format!("{} {}", engine.name, engine.version)));
    let facts = [
        ("containerd", run.containerd.version.clone()),
        ("runtime", target.runtime.clone()),
        ("kernel", run.kernel.clone()),
        ("cgroup", run.cgroup.to_string()),
        ("architecture", run.architecture.clone()),
    ];
    writer.create_element("properties").write_inner_content(|writer| {
        facts.into_iter().chain(engine).try_for_each(|(name, value)| {
            let property = writer.create_element("property").with_attribute(("name", name));
            property.with_attribute(("value", legal(&value).as_str())).write_empty().map(drop)
        })
    })?;
    Ok(())
}

fn case(writer: &mut Xml, suite: &str, cell: &Cell) -> io::Result<()> {
    // Servers know a case by class and name alone: the suite must be in them.
    let class = format!("{suite}.{}", legal(&cell.area));
    let element = writer.create_element("testcase").with_attribute(("classname", class.as_str()));
    let element = element.with_attribute(("name", legal(&cell.case).as_str()));
    let element = element.with_attribute(("time", format!("{:.3}", seconds(cell)).as_str()));
    match &cell.outcome {
        Outcome::Passed => element.write_empty()?,
        Outcome::Failed { failure } => element.write_inner_content(|writer| failed(writer, cell, failure))?,
        Outcome::ExpectedDifference { because } => element.write_inner_content(|writer| {
            let text = legal(&format!("does otherwise, as expected: {because}"));
            writer.create_element("system-out").write_text_content(BytesText::new(&text)).map(drop)
        })?,
        Outcome::NotOffered { reason } => skipped(element, &format!("not offered: {reason}"))?,
        Outcome::NotRun { reason } => skipped(element, &format!("not run: {reason}"))?,
    };
    Ok(())
}

fn skipped<'a>(element: quick_xml::writer::ElementWriter<'a, Vec<u8>>, why: &str) -> io::Result<&'a mut Xml> {
    element.write_inner_content(|writer| {
        writer.create_element("skipped").with_attribute(("message", legal(why).as_str())).write_empty().map(drop)
    })
}

fn failed(writer: &mut Xml, cell: &Cell, failure: &Failure) -> io::Result<()> {
    let message = legal(&format!("{}: {}", failure.step, failure.seen.lines().next().unwrap_or_default()));
    let mut text = format!("expected:\n{}\n\nseen:\n{}\n\nagain:\n{}\n", failure.expected, failure.seen, cell.command);
    if !failure.leaks.is_empty() {
        text += &format!("\nleft behind:\n{}\n", failure.leaks.join("\n"));
    }
    let element = writer.create_element("failure").with_attribute(("message", message.as_str()));
    let element = element.with_attribute(("type", legal(&failure.step).as_str()));
    element.write_text_content(BytesText::new(&legal(&text)))?;
    if !failure.log.is_empty() {
        writer.create_element("system-out").write_text_content(BytesText::new(&legal(&failure.log)))?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a case takes less than 2^52 milliseconds")]
fn seconds(cell: &Cell) -> f64 {
    cell.milliseconds as f64 / 1000.0
}

/// Characters that XML has no way to write, not even escaped, become U+FFFD: guests print what they like.
fn legal(text: &str) -> String {
    let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if legal(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quick_xml::Reader;

    use super::super::sample;
    use super::*;

    /// A name, and the attributes with their values.
    type Element = (String, Vec<(String, String)>);

    /// Each element, and all text, as a reader sees them.
    fn parsed(xml: &str) -> (Vec<Element>, String) {
        let mut reader = Reader::from_str(xml);
        let (mut elements, mut text) = (Vec::new(), String::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(e) | Event::Empty(e) => {
                    let name = e.name().as_ref().to_owned();
                    let attributes = e.attributes().map(|a| {
                        let a = a.unwrap();
                        let key = a.key.as_ref().to_owned();
                        (key, a.normalized_value(quick_xml::XmlVersion::Explicit1_0).unwrap().into_owned())
                    });
                    elements.push((name, attributes.collect()));
                }
                Event::Text(t) => text += &t,
                Event::GeneralRef(r) => match r.resolve_char_ref().unwrap() {
                    Some(c) => text.push(c),
                    None => text += quick_xml::escape::resolve_predefined_entity(&r).unwrap(),
                },
                Event::Eof => return (elements, text),
                _ => {}
            }
        }
    }

    #[test]
    fn a_reader_finds_each_cell_once_and_the_same_numbers() {
        let report = sample::small();
        let (elements, _) = parsed(&write(&report));
        let attribute = |attributes: &[(String, String)], name: &str| {
            attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap()
        };
        let cases = elements.iter().filter(|(name, _)| name == "testcase");
        let names: BTreeSet<_> = cases.map(|(_, a)| (attribute(a, "classname"), attribute(a, "name"))).collect();
        let counts = Counts::of_runs(&report.runs);
        assert_eq!(names.len(), counts.all());
        let (_, suites) = &elements[0];
        assert_eq!(attribute(suites, "tests"), counts.all().to_string());
        assert_eq!(attribute(suites, "failures"), counts.failed.to_string());
        let count = |wanted: &str| elements.iter().filter(|(name, _)| name == wanted).count();
        assert_eq!((count("failure"), count("skipped")), (counts.failed, counts.skipped()));
    }

    #[test]
    fn what_a_guest_printed_is_text_whatever_it_is() {
        let xml = write(&sample::small());
        assert!(!xml.contains(sample::HOSTILE));
        let (_, text) = parsed(&xml);
        assert!(text.contains(&legal(sample::HOSTILE)), "{text}");
        assert!(!text.contains('\u{1b}') && text.contains('\u{fffd}'), "{text}");
    }
}
