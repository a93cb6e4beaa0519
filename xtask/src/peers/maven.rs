//! Jars by Maven: a throw-away pom that names the roots, and the copied closure in `libs/`.
//! Invariant: the class path lists jars in sorted order, so that two machines load classes alike.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::debian;
use crate::process;

/// One root of a resolution.
pub struct Artifact {
    group: &'static str,
    name: &'static str,
    version: String,
}

fn artifact(group: &'static str, name: &'static str, version: &str) -> Artifact {
    Artifact {
        group,
        name,
        version: version.to_owned(),
    }
}

/// A whole Kafka. The log4j binding is not in its closure (the tarball adds it): without one a
/// broker that fails to start says nothing.
pub fn kafka(version: &str) -> Vec<Artifact> {
    vec![
        artifact("org.apache.kafka", "kafka_2.13", version),
        artifact("org.apache.kafka", "kafka-tools", version),
        artifact("org.apache.kafka", "kafka-shell", version),
        artifact("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"),
    ]
}

/// The Java client and a binding that prints warnings to standard error.
pub fn clients(version: &str) -> Vec<Artifact> {
    vec![
        artifact("org.apache.kafka", "kafka-clients", version),
        artifact("org.slf4j", "slf4j-simple", "1.7.36"),
    ]
}

/// Copies the runtime closure of `roots` to `dir/libs`.
pub fn resolve(dir: &Path, roots: &[Artifact]) -> Result<()> {
    debian::need("java", &["openjdk-17-jdk-headless"])?;
    debian::need("mvn", &["maven"])?;
    let pom = dir.join("pom.xml");
    fs::write(&pom, pom_text(roots))?;
    process::run_quiet(
        process::command("mvn", ["-q", "-B", "-f"])
            .arg(&pom)
            .arg("dependency:copy-dependencies")
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", dir.join("libs").display())),
    )?;
    Ok(())
}

/// The `java -cp` string of a resolved folder.
pub fn classpath(dir: &Path) -> Result<String> {
    let libs = dir.join("libs");
    let mut jars = Vec::new();
    for entry in fs::read_dir(&libs).with_context(|| format!("no jars in {}", libs.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "jar") {
            jars.push(path.to_string_lossy().into_owned());
        }
    }
    if jars.is_empty() {
        bail!(
            "no jars in {}: remove the folder and try again",
            libs.display()
        );
    }
    jars.sort();
    Ok(jars.join(":"))
}

fn pom_text(roots: &[Artifact]) -> String {
    let mut text = String::from(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\n\
         <groupId>ottla</groupId><artifactId>peer</artifactId><version>1</version><dependencies>\n",
    );
    for root in roots {
        writeln!(
            text,
            "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>",
            root.group, root.name, root.version
        )
        .expect("writing to a String cannot fail");
    }
    text.push_str("</dependencies></project>\n");
    text
}
