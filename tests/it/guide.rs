//! `docs/MAPPING.md` teaches by the shipped mappings, so what it shows must stand in them.

use crate::project::read;

/// The YAML blocks of the guide that name a file in their first line: the file and the rest.
fn snippets(guide: &str) -> Vec<(&str, &str)> {
    let blocks = guide.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix("yaml\n# ")?.split_once('\n')).collect()
}

#[test]
fn every_snippet_of_the_mapping_guide_stands_in_its_file() {
    let guide = read("docs/MAPPING.md");
    let snippets = snippets(&guide);
    assert!(!snippets.is_empty(), "the guide shows mappings");
    for (file, snippet) in snippets {
        assert!(read(&format!("mappings/{file}")).contains(snippet), "{file} no longer holds\n{snippet}");
    }
}
