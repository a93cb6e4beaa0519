//! Charts, what they render, and values as data. Invariant: objects are sorted by kind, namespace and
//! name, so that two lists of the same objects are equal. Not here: what is expected of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Helm, repository, repository_file};
use serde_json::{Map, Value};

/// An object of Kubernetes.
pub type Object = Value;

/// Put there by Helm's conventions, on objects and selectors.
const OWN_LABELS: [&str; 4] = [
    "helm.sh/chart",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
];
/// Labels that deploy/operator.yaml spares its reader where nothing selects by them.
const NAME: &str = "app.kubernetes.io/name";

/// One of ours.
pub struct Chart {
    /// Its name.
    pub name: String,
    /// From the root of the repository.
    pub path: String,
}

/// The chart of this name.
pub fn chart(name: &str) -> Result<Chart> {
    let path = format!("charts/{name}");
    ensure!(repository().join(&path).is_dir(), "there is no {path}");
    Ok(Chart {
        name: name.to_owned(),
        path,
    })
}

impl Chart {
    /// Both.
    pub fn all() -> Result<[Chart; 2]> {
        Ok([chart("ottla-operator")?, chart("ottla-cluster")?])
    }

    /// The values files of ci/, and none at all.
    pub fn variants(&self) -> Vec<Option<String>> {
        let folder = format!("{}/ci", self.path);
        let entries = fs::read_dir(repository().join(&folder))
            .into_iter()
            .flatten();
        let mut files: Vec<String> = entries
            .flatten()
            .map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy()))
            .collect();
        files.sort();
        assert!(files.len() >= 3, "{folder} has lost its files");
        let files = files.into_iter().map(Some);
        [None].into_iter().chain(files).collect()
    }

    /// values.yaml.
    pub fn defaults(&self) -> Result<Value> {
        values(&repository_file(&format!("{}/values.yaml", self.path))?)
    }

    /// Key and default of each value that the README tells.
    pub fn documented(&self) -> Result<Vec<(String, String)>> {
        let page = repository_file(&format!("{}/README.md", self.path))?;
        let rows = page.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let key = cells.next()?.trim_end_matches('`').to_owned();
            Some((key, cells.next()?.to_owned()))
        });
        Ok(rows.collect())
    }

    /// What to type to render it.
    pub fn command(&self, file: Option<&str>) -> Vec<String> {
        let words = [
            "template",
            "my",
            &self.path,
            "--namespace=apps",
            "--api-versions=ottla.io/v1alpha1/KafkaCluster",
        ];
        let file = file.map(|file| format!("--values={file}"));
        words
            .iter()
            .map(|word| (*word).to_owned())
            .chain(file)
            .collect()
    }

    /// Renders it with a values file.
    pub fn render(&self, helm: &Helm, file: &Option<String>) -> Result<String> {
        helm.run(&self.command(file.as_deref()))
    }

    /// Renders it with these values.
    pub fn render_values(&self, helm: &Helm, values: &Value) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("values.yaml");
        fs::write(&file, values.to_string())?;
        self.render(helm, &Some(file.to_string_lossy().into_owned()))
    }

    /// What a user reads after an install. Helm shows it only to who has a cluster, so a copy of the
    /// chart renders it as an object.
    pub fn notes(&self, helm: &Helm, file: &str) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let copy = folder.path().join(&self.name);
        copy_folder(&repository().join(&self.path), &copy)?;
        let probe = format!(
            "notes: {{{{ include \"{}.notes\" . | toJson }}}}\n",
            self.name
        );
        let notes = fs::read_to_string(copy.join("templates/NOTES.txt"))?;
        ensure!(
            notes.trim() == format!("{{{{ include \"{}.notes\" . }}}}", self.name),
            "{notes}"
        );
        fs::write(copy.join("templates/notes.yaml"), probe)?;
        let mut command = self.command(Some(file));
        command[2] = copy.to_string_lossy().into_owned();
        let documents = documents(&helm.run(&command)?)?;
        let notes = documents.iter().find_map(|one| one["notes"].as_str());
        Ok(notes.context("notes")?.to_owned())
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A values file.
pub fn values(text: &str) -> Result<Value> {
    Ok(serde_saphyr::from_str(text)?)
}

/// The paths of all that is no map with something in it.
pub fn leaves(value: &Value) -> Vec<Vec<String>> {
    match value.as_object().filter(|map| !map.is_empty()) {
        None => vec![Vec::new()],
        Some(map) => map
            .iter()
            .flat_map(|(key, below)| {
                let below = leaves(below).into_iter();
                below.map(move |path| [vec![key.clone()], path].concat())
            })
            .collect(),
    }
}

/// The same values without one; None when it is not among them.
pub fn without(values: &Value, key: &str) -> Option<Value> {
    let mut values = values.clone();
    let (path, last) = match key.rsplit_once('.') {
        Some((path, last)) => (path.split('.').collect(), last),
        None => (Vec::new(), key),
    };
    let map = path
        .iter()
        .try_fold(&mut values, |at, key| at.get_mut(key))?;
    map.as_object_mut()?.remove(last)?;
    Some(values)
}

/// The objects of a stream, sorted.
pub fn objects(text: &str) -> Result<Vec<Object>> {
    let mut objects = documents(text)?;
    for object in &objects {
        ensure!(object["kind"].is_string(), "no object: {object}");
    }
    sort(&mut objects);
    Ok(objects)
}

fn documents(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    Ok(documents.into_iter().filter(|one| !one.is_null()).collect())
}

/// By kind, namespace and name.
pub fn sort(objects: &mut [Object]) {
    objects.sort_by_key(|object| names(std::slice::from_ref(object)));
}

/// An object's kind.
pub fn kind(object: &Object) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// Kind, namespace and name of each.
pub fn names(objects: &[Object]) -> Vec<String> {
    objects
        .iter()
        .map(|object| {
            let meta = &object["metadata"];
            format!("{} {} {}", kind(object), meta["namespace"], meta["name"])
        })
        .collect()
}

/// The images of all containers.
pub fn images(objects: &[Object]) -> Result<BTreeSet<String>> {
    let pods = objects.iter().filter_map(|object| match kind(object) {
        "Pod" => Some(&object["spec"]),
        "Deployment" => Some(&object["spec"]["template"]["spec"]),
        _ => None,
    });
    pods.flat_map(|pod| pod["containers"].as_array().into_iter().flatten())
        .map(|container| Ok(container["image"].as_str().context("an image")?.to_owned()))
        .collect()
}

/// The definitions of crds/, sorted.
pub fn crds() -> Result<Vec<Object>> {
    let mut crds = Vec::new();
    for entry in fs::read_dir(repository().join("crds"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "yaml") {
            crds.extend(objects(&fs::read_to_string(path)?)?);
        }
    }
    sort(&mut crds);
    Ok(crds)
}

/// An object without what Helm's conventions put there.
pub fn without_helms_own(mut object: Object) -> Object {
    for place in [
        "/metadata/labels",
        "/spec/selector/matchLabels",
        "/spec/template/metadata/labels",
    ] {
        let labels = object.pointer_mut(place).and_then(Value::as_object_mut);
        if let Some(labels) = labels {
            labels.retain(|key, _| !OWN_LABELS.contains(&key.as_str()));
        }
    }
    let is_selected = kind(&object) == "Deployment";
    if let Some(meta) = object["metadata"].as_object_mut() {
        if let Some(labels) = meta.get_mut("labels").and_then(Value::as_object_mut)
            && !is_selected
        {
            labels.remove(NAME);
        }
        if let Some(notes) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            notes.remove("helm.sh/resource-policy");
        }
        meta.retain(|_, value| {
            value
                .as_object()
                .is_none_or(|map: &Map<_, _>| !map.is_empty())
        });
    }
    object
}
