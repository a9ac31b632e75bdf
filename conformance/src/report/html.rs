//! A report as one HTML page that needs nothing beside itself: the matrix, its filters, and what is behind each cell.
//!
//! The page holds the report as JSON, from which its scripts (in `page/`) build all that is seen, by text nodes alone: what
//! guests printed is shown, never interpreted.

use super::model::Report;

const PAGE: &str = include_str!("page/page.html");
/// What every page of the project has in its style: colours for light and for dark, and faces.
pub const PALETTE: &str = include_str!("page/palette.css");
const STYLE: &str = concat!(include_str!("page/palette.css"), include_str!("page/page.css"));
const SCRIPT: &str = concat!(
    include_str!("page/data.js"),
    include_str!("page/state.js"),
    include_str!("page/matrix.js"),
    include_str!("page/panel.js"),
    include_str!("page/diff.js"),
    include_str!("page/lists.js"),
    include_str!("page/main.js"),
);

/// The page.
pub fn write(report: &Report) -> String {
    let json = serde_json::to_string(report).expect("a report has text for its keys");
    // `<` occurs in JSON's strings alone. Escaped, nothing in the data can end the element that holds it.
    let json = json.replace('<', "\\u003c");
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + json.len());
    let mut rest = PAGE;
    for (marker, content) in [("{{style}}", STYLE), ("{{report}}", &json), ("{{script}}", SCRIPT)] {
        let (before, after) = rest.split_once(marker).expect("page.html has each marker, in this order");
        page.extend([before, content]);
        rest = after;
    }
    page + rest
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::super::{json, sample};
    use super::*;

    /// The page without the content of `script` and `style`, and those contents, cut as a browser cuts them: raw text ends
    /// at the first end tag, wherever that stands.
    fn cut(page: &str) -> (String, Vec<String>) {
        let (mut markup, mut raw, mut rest) = (String::new(), Vec::new(), page);
        while let Some((start, name)) =
            ["script", "style"].iter().filter_map(|name| Some((rest.find(&format!("<{name}"))?, name))).min()
        {
            let open = start + rest[start..].find('>').unwrap() + 1;
            let end = open + rest[open..].to_lowercase().find(&format!("</{name}")).unwrap();
            markup += &rest[..open];
            raw.push(rest[open..end].to_owned());
            rest = &rest[end..];
            let close = rest.find('>').unwrap() + 1;
            markup += &rest[..close];
            rest = &rest[close..];
        }
        (markup + rest, raw)
    }

    #[test]
    fn the_page_is_well_formed_and_names_nothing_outside_of_itself() {
        let (markup, _) = cut(&write(&sample::small()));
        let mut reader = Reader::from_str(&markup);
        reader.config_mut().check_end_names = true;
        let (mut depth, mut elements) = (0_i32, 0);
        loop {
            match reader.read_event().unwrap() {
                Event::Start(e) => {
                    (depth, elements) = (depth + 1, elements + 1);
                    assert!(e.attributes().all(|a| a.unwrap().key.as_ref() != "src"), "{e:?}");
                }
                Event::Empty(e) => assert!(e.attributes().all(|a| a.unwrap().key.as_ref() != "src"), "{e:?}"),
                Event::End(_) => depth -= 1,
                Event::Eof => break,
                _ => {}
            }
        }
        assert!(depth == 0 && elements > 10, "{depth} {elements}");
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }

    #[test]
    fn the_report_in_the_page_is_the_report() {
        for report in [sample::small(), sample::large()] {
            let (_, raw) = cut(&write(&report));
            let [style, data, script] = raw.as_slice() else { panic!("{} raw elements", raw.len()) };
            assert_eq!((style.as_str(), script.as_str()), (STYLE, SCRIPT));
            assert_eq!(json::read(data).unwrap(), report);
        }
    }

    #[test]
    fn nothing_that_a_guest_printed_is_markup() {
        let page = write(&sample::small());
        assert!(!page.contains("<img") && !page.contains("<script>document") && !page.contains("<!-- \u{1b}"));
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "javascript:"] {
            assert!(!SCRIPT.contains(way), "the page makes markup of text by {way}");
        }
    }
}
