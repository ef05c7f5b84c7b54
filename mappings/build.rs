//! Lists every shipped mapping file, so that the list in the binary cannot fall behind the folder.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // Read as it runs: a compiled script may be run again for another checkout of the same package.
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut files = vec![root.join("routes.yaml"), root.join("targets.yaml")];
    collect(&root.join("systems"), &mut files)?;
    collect(&root.join("calendars"), &mut files)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml") && file.exists());
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let path = file.strip_prefix(&root).unwrap_or(file).to_string_lossy().replace('\\', "/");
        // Read where the crate is compiled: the list may have been made for another checkout.
        let _ = writeln!(
            list,
            "    ({path:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/\", {path:?}))),"
        );
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("shipped.rs"), list)?;
    println!("cargo::rerun-if-changed=systems");
    println!("cargo::rerun-if-changed=calendars");
    println!("cargo::rerun-if-changed=routes.yaml");
    println!("cargo::rerun-if-changed=targets.yaml");
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
