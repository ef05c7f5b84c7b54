//! Paths into documents (RFC 9535 JSONPath), parsed once.
//!
//! This module alone knows the JSONPath library. Plain paths of names, indexes, wildcards and descents, which
//! are nearly all, are walked here without it, since it writes down the place of every hit.

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

use super::scope::is_empty;

/// One path, from the root `$` of a document or from the current item `@` of a list.
#[derive(Debug, Clone)]
pub(super) struct Path {
    text: String,
    origin: Origin,
    walk: Walk,
}

/// Where a path starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// `$`
    Root,
    /// `@`
    Item,
}

#[derive(Debug, Clone)]
enum Walk {
    Plain(Vec<Hop>),
    Query(Box<JpQuery>),
}

/// One step of a plain path.
#[derive(Debug, Clone)]
pub(super) enum Hop {
    /// The member of this name.
    Name(String),
    /// The item at this place.
    Index(i64),
    /// Every member or item.
    Every,
    /// The value itself and everything below it.
    Descent,
}

/// A test that each item of a list is put to: the filter at the end of a path.
#[derive(Debug, Clone)]
pub(super) struct Filter(JpQuery);

impl Filter {
    /// Whether an item passes it.
    pub(super) fn passes(&self, item: &Value) -> bool {
        let alone = Value::Array(vec![item.clone()]);
        js_path_process(&self.0, &alone).is_ok_and(|hits| !hits.is_empty())
    }
}

impl Path {
    /// Parses a path that starts with `$` or `@`.
    ///
    /// # Errors
    /// A hint in plain words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let origin = match text.chars().next() {
            Some('$') => Origin::Root,
            Some('@') => Origin::Item,
            Some(_) | None => return Err("a path starts with $ or, within a list, with @".into()),
        };
        if space_in_a_name(text) {
            return Err("a name with a space in it is written ['like this']".into());
        }
        let query = parse_json_path(&format!("${}", &text[1..])).map_err(|_| hint(text))?;
        let walk = match plain(&query) {
            Some(hops) => Walk::Plain(hops),
            None => Walk::Query(Box::new(query)),
        };
        Ok(Self { text: text.to_owned(), origin, walk })
    }

    /// The path as written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where it starts.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// The names it starts with, before the first wildcard, index, filter or descent.
    pub(super) fn names(&self) -> Vec<&str> {
        match &self.walk {
            Walk::Plain(hops) => hops
                .iter()
                .map_while(|hop| match hop {
                    Hop::Name(name) => Some(name.as_str()),
                    Hop::Index(_) | Hop::Every | Hop::Descent => None,
                })
                .collect(),
            Walk::Query(query) => query
                .segments
                .iter()
                .map_while(|segment| match segment {
                    Segment::Selector(Selector::Name(name)) => Some(name.as_str()),
                    Segment::Selector(_) | Segment::Selectors(_) | Segment::Descendant(_) => None,
                })
                .collect(),
        }
    }

    /// Its steps, with the filter at its end where it has one; `None` where what it selects cannot be told item by
    /// item: a slice, a union, or a filter elsewhere or one that looks at the whole document.
    pub(super) fn hops(&self) -> Option<(Vec<Hop>, Option<Filter>)> {
        let query = match &self.walk {
            Walk::Plain(hops) => return Some((hops.clone(), None)),
            Walk::Query(query) => query,
        };
        let (last, before) = query.segments.split_last()?;
        let Segment::Selector(Selector::Filter(_)) = last else { return None };
        if self.text[1..].contains('$') {
            return None;
        }
        let mut hops = plain(&JpQuery { segments: before.to_vec() })?;
        hops.push(Hop::Every);
        Some((hops, Some(Filter(JpQuery { segments: vec![last.clone()] }))))
    }

    /// Whether what would hold its hits is there: of `$.result.jobs` the result, of `$..job` any document at all.
    /// A list that selects nothing in such a place is empty; elsewhere the document is another one. Of `$.jobs`, which is
    /// a member of the document itself, the document holds a place where it is empty or has the member.
    pub(super) fn has_place(&self, start: &Value) -> bool {
        if !start.is_object() && !start.is_array() {
            return false;
        }
        let names = self.names();
        let Some((last, holders)) = names.split_last() else { return true };
        if holders.is_empty() {
            // A document in JSON that says something, and has no such member, is another one than the list.
            return is_empty(start) || start.get(last).is_some();
        }
        let holder = holders.iter().try_fold(start, |value, name| value.get(name));
        // Where a name is looked for, a list or a word holds no place for it.
        holder.is_some_and(|holder| holder.is_object() || is_empty(holder))
    }

    /// Everything it selects, in document order.
    pub(super) fn select<'v>(&self, start: &'v Value) -> Vec<&'v Value> {
        match &self.walk {
            Walk::Plain(hops) => {
                let mut hits = Vec::new();
                walk(hops, start, &mut hits);
                hits
            }
            Walk::Query(query) => js_path_process(query, start)
                .map(|hits| hits.into_iter().map(|hit| hit.val()).collect())
                .unwrap_or_default(),
        }
    }

    /// The first hit that is not null.
    pub(super) fn first<'v>(&self, start: &'v Value) -> Option<&'v Value> {
        if let Walk::Plain(hops) = &self.walk
            && let Some(hit) = straight(hops, start)
        {
            return hit.filter(|value| !value.is_null());
        }
        self.select(start).into_iter().find(|value| !value.is_null())
    }
}

fn plain(query: &JpQuery) -> Option<Vec<Hop>> {
    let mut hops = Vec::with_capacity(query.segments.len());
    for segment in &query.segments {
        let selector = match segment {
            Segment::Selector(selector) => selector,
            Segment::Descendant(inner) => {
                hops.push(Hop::Descent);
                let Segment::Selector(selector) = inner.as_ref() else { return None };
                selector
            }
            Segment::Selectors(_) => return None,
        };
        hops.push(match selector {
            Selector::Name(name) => Hop::Name(name.clone()),
            Selector::Index(index) => Hop::Index(*index),
            Selector::Wildcard => Hop::Every,
            Selector::Slice(..) | Selector::Filter(_) => return None,
        });
    }
    Some(hops)
}

/// Follows names and indexes only; the outer `None` means that the path can have several hits.
fn straight<'v>(hops: &[Hop], start: &'v Value) -> Option<Option<&'v Value>> {
    let mut value = start;
    for hop in hops {
        let next = match hop {
            Hop::Name(name) => value.get(name.as_str()),
            Hop::Index(index) => item(value, *index),
            Hop::Every | Hop::Descent => return None,
        };
        match next {
            Some(next) => value = next,
            None => return Some(None),
        }
    }
    Some(Some(value))
}

/// Every hit of the steps below a value, in document order.
pub(super) fn walk<'v>(hops: &[Hop], value: &'v Value, hits: &mut Vec<&'v Value>) {
    let Some((hop, rest)) = hops.split_first() else {
        hits.push(value);
        return;
    };
    match hop {
        Hop::Name(name) => {
            if let Some(next) = value.get(name.as_str()) {
                walk(rest, next, hits);
            }
        }
        Hop::Index(index) => {
            if let Some(next) = item(value, *index) {
                walk(rest, next, hits);
            }
        }
        Hop::Every => below(value).for_each(|next| walk(rest, next, hits)),
        Hop::Descent => {
            walk(rest, value, hits);
            below(value).for_each(|next| walk(hops, next, hits));
        }
    }
}

fn item(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let index = if index < 0 { index + i64::try_from(items.len()).ok()? } else { index };
    items.get(usize::try_from(index).ok()?)
}

fn below(value: &Value) -> impl Iterator<Item = &Value> {
    let items = value.as_array().into_iter().flatten();
    let members = value.as_object().into_iter().flat_map(|members| members.values());
    items.chain(members)
}

/// The library reads `$.a b` as one name, which RFC 9535 does not allow.
fn space_in_a_name(text: &str) -> bool {
    let mut depth = 0_usize;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, c) if depth == 0 && c.is_whitespace() => return true,
            (None, _) => {}
        }
    }
    false
}

fn hint(text: &str) -> String {
    let dashed = text.split('.').any(|part| {
        let name = part.split(['[', '?']).next().unwrap_or_default();
        name.starts_with(['#', '@']) && part.len() > 1 && !part.starts_with("@[") || name.contains('-')
    });
    if dashed {
        "a name with other characters than letters, digits and _ is written ['like-this']".into()
    } else if text.ends_with('.') {
        "the path ends with a dot".into()
    } else {
        "for example $.customer.surname, $.attachments[0].href, $..ErrorCode or $.steps.create.body['@id']"
            .into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn select(path: &str, document: &Value) -> Vec<Value> {
        Path::parse(path).expect(path).select(document).into_iter().cloned().collect()
    }

    #[test]
    fn plain_paths_and_queries_select_alike() {
        let document = json!({"a": {"b": [{"c": 1, "@d": "x"}, {"c": 2}], "c": null}, "é-f": true});
        let cases = [
            ("$", vec![document.clone()]),
            ("$.a.b[0].c", vec![json!(1)]),
            ("$.a.b[-1].c", vec![json!(2)]),
            ("$.a.b[*].c", vec![json!(1), json!(2)]),
            ("$..c", vec![json!(null), json!(1), json!(2)]),
            ("$..b[0]", vec![json!({"c": 1, "@d": "x"})]),
            ("$.a.b[?@.c==2].c", vec![json!(2)]),
            ("$.a.b[0:1].c", vec![json!(1)]),
            ("$['é-f']", vec![json!(true)]),
            ("$..['@d']", vec![json!("x")]),
            ("@.a.b[1]['c']", vec![json!(2)]),
            ("$.a.x.y", vec![]),
            ("$.a.b[7]", vec![]),
            ("$.a.b[-7]", vec![]),
            ("$.a.b.c", vec![]),
        ];
        for (path, expected) in cases {
            let hits = select(path, &document);
            let sorted = |mut values: Vec<Value>| {
                values.sort_by_key(ToString::to_string);
                values
            };
            assert_eq!(sorted(hits), sorted(expected), "{path}");
        }
    }

    #[test]
    fn descents_come_in_document_order_like_the_library_has_them() {
        let document = json!({"x": {"y": 1, "x": {"y": 2}}, "l": [{"y": 3}, [{"y": 4}]]});
        let query = parse_json_path("$..y").expect("valid");
        let theirs: Vec<Value> = js_path_process(&query, &document)
            .expect("hits")
            .into_iter()
            .map(|hit| hit.val().clone())
            .collect();
        assert_eq!(select("$..y", &document), theirs);
        assert_eq!(theirs, [json!(1), json!(2), json!(3), json!(4)]);
    }

    #[test]
    fn the_first_hit_passes_over_null() {
        let document = json!({"a": null, "b": [{"a": 5}]});
        assert_eq!(Path::parse("$.a").expect("valid").first(&document), None);
        assert_eq!(Path::parse("$..a").expect("valid").first(&document), Some(&json!(5)));
    }

    #[test]
    fn names_stop_at_the_first_other_step() {
        let path = Path::parse("$.steps['get-ticket'].body[0].x").expect("valid");
        assert_eq!(path.names(), ["steps", "get-ticket", "body"]);
        assert_eq!(path.origin(), Origin::Root);
        assert_eq!(Path::parse("$.a[?@.b].c").expect("valid").names(), ["a"]);
    }

    #[test]
    fn a_list_has_its_place_where_what_holds_it_is_there() {
        let has = |path: &str, document: Value| Path::parse(path).expect(path).has_place(&document);
        assert!(has("$.jobs", json!({})) && has("$.jobs[*]", json!({"jobs": []})) && has("$[*]", json!([])));
        assert!(!has("$.jobs[*]", json!({"message": "maintenance"})) && !has("$.jobs[*]", json!([7])));
        assert!(!has("$.result.jobs", json!({"result": "none"})));
        assert!(has("$.result.jobs", json!({"result": null})) && has("$.R.Job", json!({"R": ""})));
        assert!(has("$.d.results[?@.open].job", json!({"d": {"count": 0}})));
        assert!(has("$..Job", json!({"R": ""})));
        assert!(!has("$.result.jobs", json!({"message": "x"})) && !has("$.R.L.Job", json!({"R": ""})));
        for path in ["$.jobs", "$..Job", "$"] {
            assert!(!has(path, json!(null)) && !has(path, json!("OK")) && !has(path, json!(7)), "{path}");
        }
    }

    #[test]
    fn a_wrong_path_is_refused_with_a_hint() {
        assert!(Path::parse("$.missed-bin").expect_err("refused").contains("['like-this']"));
        assert!(Path::parse("$.a.@id").expect_err("refused").contains("['like-this']"));
        assert!(Path::parse("$.a.").expect_err("refused").contains("ends with a dot"));
        assert!(Path::parse("$.a b").expect_err("refused").contains("['like this']"));
        assert!(Path::parse("$.a[").expect_err("refused").contains("for example"));
        assert!(Path::parse("a.b").expect_err("refused").contains("starts with $"));
        assert!(Path::parse("$é").is_err());
    }
}
