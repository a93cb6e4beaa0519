//! Goal: both charts work with Helm 3 and Helm 4 alike: they pass lint, render the same objects each time, refuse
//! wrong values by path, do something with every value, document it, and make manifests that `ottla plan` and
//! `ottla up` take; deploy/ is what the operator's chart makes. Method: helm, kustomize and `ottla` as people type
//! them, without a Kubernetes; the values files are the charts' own (ci/).
//! Needs: helm.

mod rendering;
mod wrong_values;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Helm, User, kustomize, repository, repository_file};
use rendering::{
    Chart, Object, chart, crds, images, kind, leaves, names, objects, values, without,
};
use serde_json::Value;

#[test]
fn both_helms_are_the_ones_meant() -> Result<()> {
    let [three, four] = Helm::both()?;
    for (helm, version) in [(three, "v3.22.0"), (four, "v4.3.1")] {
        let said = helm.run(&["version", "--short"])?;
        ensure!(said.starts_with(version), "{}: {said}", helm.name);
    }
    Ok(())
}

#[test]
fn charts_pass_lint_and_render_the_same_each_time() -> Result<()> {
    let helms = Helm::both()?;
    for chart in Chart::all()? {
        for file in chart.variants() {
            let mut rendered = Vec::new();
            for helm in &helms {
                let mut lint = vec!["lint", "--strict", chart.path.as_str()];
                lint.extend(file.iter().flat_map(|file| ["--values", file.as_str()]));
                helm.run(&lint)?;
                let text = chart.render(helm, &file)?;
                ensure!(
                    text == chart.render(helm, &file)?,
                    "{file:?}: two renderings"
                );
                rendered.push(objects(&text)?);
            }
            ensure!(
                rendered[0] == rendered[1],
                "{} {file:?}: Helm 3 and Helm 4 render other objects",
                chart.name
            );
        }
    }
    Ok(())
}

#[test]
fn wrong_values_are_refused_by_their_path() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("values.yaml");
    let file = file.to_str().context("a path of the test")?;
    for helm in Helm::both()? {
        for (name, cases) in [
            ("ottla-operator", wrong_values::OPERATOR),
            ("ottla-cluster", wrong_values::CLUSTER),
        ] {
            let chart = chart(name)?;
            for (wrong, paths) in together(cases)? {
                std::fs::write(file, wrong.to_string())?;
                let said = helm.tries(&chart.command(Some(file)))?;
                let missing: Vec<_> = paths
                    .iter()
                    .filter(|path| !said.errors.contains(**path))
                    .collect();
                ensure!(
                    !said.is_ok && missing.is_empty(),
                    "{}, {name}: {wrong} is to be refused at {missing:?}: {}",
                    helm.name,
                    said.errors
                );
            }
        }
    }
    Ok(())
}

/// Cases with different keys in one file, since Helm tells all that is wrong: it starts a dozen times
/// instead of a hundred.
fn together(cases: &[(&str, &'static str)]) -> Result<Vec<(Value, Vec<&'static str>)>> {
    let mut files: Vec<(Value, Vec<&'static str>)> = Vec::new();
    for (text, path) in cases {
        let wrong = values(text)?;
        let (key, below) = wrong
            .as_object()
            .and_then(|map| map.iter().next())
            .context("a case has one key")?;
        let free = files.iter().position(|(file, _)| file.get(key).is_none());
        let at = free.unwrap_or(files.len());
        if free.is_none() {
            files.push((Value::Object(Default::default()), Vec::new()));
        }
        files[at].0[key] = below.clone();
        files[at].1.push(path);
    }
    Ok(files)
}

/// Served in one kind only, and so without another effect to show.
const OF_ONE_KIND: &[&str] = &["storage.type"];

/// A value without effect would be a promise that nobody keeps.
#[test]
fn every_value_has_an_effect() -> Result<()> {
    let [helm, _] = Helm::both()?;
    for chart in Chart::all()? {
        let mut idle: BTreeSet<String> = chart.documented()?.into_iter().map(|row| row.0).collect();
        idle.retain(|key| !OF_ONE_KIND.contains(&key.as_str()));
        for file in chart.variants().into_iter().flatten() {
            let variant = values(&repository_file(&file)?)?;
            let whole = chart.render(&helm, &Some(file))?;
            for key in idle.clone() {
                let Some(other) = without(&variant, &key) else {
                    continue;
                };
                if chart.render_values(&helm, &other)? != whole {
                    idle.remove(&key);
                }
            }
        }
        ensure!(
            idle.is_empty(),
            "{}: no file of ci/ gives these another effect than their default: {idle:?}",
            chart.name
        );
    }
    Ok(())
}

#[test]
fn every_value_is_documented_with_its_default() -> Result<()> {
    for chart in Chart::all()? {
        let defaults = chart.defaults()?;
        let rows = chart.documented()?;
        for (key, told) in &rows {
            let value = key.split('.').try_fold(&defaults, |at, key| at.get(key));
            let value = value.with_context(|| format!("{}: there is no {key}", chart.name))?;
            // What is long is told in a word.
            let told = told
                .strip_prefix('`')
                .and_then(|told| told.strip_suffix('`'));
            let as_json = value.to_string();
            if let Some(told) = told {
                ensure!(told == as_json, "{key}: {told} is {value}");
            }
        }
        for leaf in leaves(&defaults) {
            let path = leaf.join(".");
            let is_told = rows
                .iter()
                .any(|(key, _)| path == *key || path.starts_with(&format!("{key}.")));
            ensure!(is_told, "{}: the README does not tell {path}", chart.name);
        }
    }
    Ok(())
}

#[test]
fn what_the_cluster_chart_makes_can_be_planned() -> Result<()> {
    let user = User::new()?;
    let chart = chart("ottla-cluster")?;
    for helm in Helm::both()? {
        for file in chart.variants() {
            let made = objects(&chart.render(&helm, &file)?)?;
            let resources: Vec<Object> = made
                .into_iter()
                .filter(|object| object["apiVersion"] == "ottla.io/v1alpha1")
                .collect();
            ensure!(!resources.is_empty(), "{file:?}: nothing to plan");
            user.writes(&manifests(&resources))?;
            let plan = user.types(&["plan", "--file", "cluster.yaml", "-o", "json"])?;
            let plan: Value = serde_json::from_str(&plan.well("plan")?.output)?;
            let topics = resources.len() - 1;
            let steps = plan[0]["steps"].as_array().context("steps")?;
            let created = steps
                .iter()
                .filter(|step| step["action"].to_string().contains("CreateTopic"));
            ensure!(created.count() == topics, "{file:?}: {plan}");
        }
    }
    Ok(())
}

/// Numbers come through Helm as floats.
#[test]
fn numbers_arrive_as_they_were_written() -> Result<()> {
    let chart = chart("ottla-cluster")?;
    for helm in Helm::both()? {
        let file = Some(format!("{}/ci/topics-values.yaml", chart.path));
        let text = chart.render(&helm, &file)?;
        for line in [
            "retention.ms: 604800000",
            "segment.bytes: 1073741824",
            "retention.bytes: 9007199254740991",
            "max.message.bytes: \"1048588\"",
        ] {
            ensure!(text.contains(line), "{line}: {text}");
        }
    }
    Ok(())
}

#[test]
fn without_definitions_the_cluster_chart_says_what_is_missing() -> Result<()> {
    for helm in Helm::both()? {
        let said = helm.tries(&["template", "my", "charts/ottla-cluster"])?;
        let is_said = said
            .errors
            .contains("does not know KafkaClusters yet: install the chart ottla-operator");
        ensure!(!said.is_ok && is_said, "{}: {}", helm.name, said.errors);
        let name = "a-release-whose-name-is-longer-than-forty";
        let mut command = chart("ottla-cluster")?.command(None);
        command[1] = name.to_owned();
        let said = helm.tries(&command)?;
        let is_said = said.errors.contains("set fullnameOverride");
        ensure!(!said.is_ok && is_said, "{}: {}", helm.name, said.errors);
    }
    Ok(())
}

#[test]
fn one_namespace_needs_no_right_beyond_it() -> Result<()> {
    let chart = chart("ottla-operator")?;
    for helm in Helm::both()? {
        let file = Some(format!("{}/ci/namespaced-values.yaml", chart.path));
        let made = objects(&chart.render(&helm, &file)?)?;
        let wide = made.iter().filter(|object| {
            kind(object).starts_with("Cluster") || kind(object) == "CustomResourceDefinition"
        });
        ensure!(wide.count() == 0, "{:?}", names(&made));
        let watch = made
            .iter()
            .find(|object| kind(object) == "Role" && object["metadata"]["namespace"] == "streams");
        let all = objects(&chart.render(&helm, &None)?)?;
        let everywhere = all.iter().find(|object| kind(object) == "ClusterRole");
        ensure!(watch.context("a Role")?["rules"] == everywhere.context("a ClusterRole")?["rules"]);
    }
    Ok(())
}

/// deploy/operator.yaml is kept by hand, so that it can be read.
#[test]
fn deploy_is_what_the_chart_makes() -> Result<()> {
    let deploy: Vec<Object> = objects(&repository_file("deploy/operator.yaml")?)?;
    for helm in Helm::both()? {
        let text = helm.run(&[
            "template",
            "ottla-operator",
            "charts/ottla-operator",
            "--namespace=ottla-system",
        ])?;
        let (definitions, made): (Vec<Object>, Vec<Object>) = objects(&text)?
            .into_iter()
            .map(rendering::without_helms_own)
            .partition(|object| kind(object) == "CustomResourceDefinition");
        let namespace = |object: &&Object| kind(object) == "Namespace";
        let kept: Vec<Object> = deploy.iter().filter(|o| !namespace(o)).cloned().collect();
        let kept: Vec<Object> = kept.into_iter().map(rendering::without_helms_own).collect();
        ensure!(names(&made) == names(&kept), "{:?}", names(&made));
        for (made, kept) in made.iter().zip(&kept) {
            ensure!(made == kept, "chart: {made:#}\ndeploy: {kept:#}");
        }
        ensure!(definitions == crds()?, "{}: definitions", helm.name);
    }
    Ok(())
}

#[test]
fn kustomize_takes_deploy_as_a_base() -> Result<()> {
    let output = std::process::Command::new(kustomize()?)
        .args(["build", "deploy"])
        .current_dir(repository())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{errors}");
    let built = objects(&String::from_utf8(output.stdout)?)?;
    let mut wanted = objects(&repository_file("deploy/operator.yaml")?)?;
    wanted.extend(crds()?);
    rendering::sort(&mut wanted);
    ensure!(built == wanted, "{:?} {:?}", names(&built), names(&wanted));
    Ok(())
}

#[test]
fn images_are_named_by_tag_or_digest() -> Result<()> {
    let [helm, _] = Helm::both()?;
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let operator = chart("ottla-operator")?;
    let cluster = chart("ottla-cluster")?;
    let of = |chart: &Chart, file: &str| -> Result<BTreeSet<String>> {
        let file = Some(format!("{}/ci/{file}-values.yaml", chart.path));
        images(&objects(&chart.render(&helm, &file)?)?)
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let wanted: BTreeSet<String> = set(&["registry.example.com:5000/ottla/operator:0.1.0-slim"]);
    ensure!(of(&operator, "everything")? == wanted);
    ensure!(of(&operator, "own-rights")? == set(&[&format!("ottla-operator@{digest}")]));
    ensure!(of(&cluster, "single")? == set(&[&format!("ottla-broker@{digest}")]));
    ensure!(of(&cluster, "topics")? == set(&["ottla-broker:0.1.0"]));
    Ok(())
}

#[test]
fn notes_name_the_next_step_and_the_risks() -> Result<()> {
    for helm in Helm::both()? {
        let notes = |chart: &str, file: &str| -> Result<String> {
            let chart = self::chart(chart)?;
            chart.notes(&helm, &format!("{}/ci/{file}-values.yaml", chart.path))
        };
        let text = notes("ottla-cluster", "everything")?;
        for line in [
            "KafkaCluster shop in namespace apps: 5 brokers with 1.5Ti each, 1 topic.",
            "  plain       shop-kafka-bootstrap.apps.svc:9092",
            "  batch       shop-kafka-bootstrap.apps.svc:9094",
            "kubectl --namespace apps exec --stdin shop-kafka-0-0 -- ottla produce greetings \
             --bootstrap-server shop-kafka-bootstrap.apps.svc:9092",
            "-- ottla topic create greetings --bootstrap-server",
            "Write 1000 records, read them back and compare:\n  helm test my --namespace apps",
            "WARNING: this version keeps one copy of each partition",
            "WARNING: ottla.durability is page-cache",
        ] {
            ensure!(text.contains(line), "{line}: {text}");
        }
        let text = notes("ottla-cluster", "topics")?;
        ensure!(text.contains("WARNING: topic clicks.raw has deletionPolicy Delete"));
        ensure!(
            !text.contains("page-cache") && !text.contains("topic create"),
            "{text}"
        );
        let text = notes("ottla-operator", "own-rights")?;
        for line in [
            "kubectl --namespace apps rollout status deployment/my-ottla-operator",
            "WARNING: crds.keep is false",
            "NOTE: rbac.create is false: service account ottla has",
        ] {
            ensure!(text.contains(line), "{line}: {text}");
        }
        let manifest = text.split("<<MANIFEST\n").nth(1).context("a manifest")?;
        let manifest = manifest.split("\nMANIFEST\n").next().context("its end")?;
        let user = User::new()?;
        user.writes(manifest)?;
        user.types(&["plan", "--file", "cluster.yaml"])?
            .well("the manifest of the notes")?;
        let text = notes("ottla-operator", "namespaced")?;
        ensure!(
            text.contains("looks after namespace streams only"),
            "{text}"
        );
        ensure!(text.contains("NOTE: crds.install is false"), "{text}");
    }
    Ok(())
}

/// What `helm test` runs in a pod, on what the chart makes, without a Kubernetes.
#[test]
fn a_chart_comes_up_here_and_keeps_what_it_is_given() -> Result<()> {
    let [_, helm] = Helm::both()?;
    let chart = chart("ottla-cluster")?;
    let file = Some(format!("{}/ci/single-values.yaml", chart.path));
    let (pods, resources): (Vec<Object>, Vec<Object>) = objects(&chart.render(&helm, &file)?)?
        .into_iter()
        .partition(|object| kind(object) == "Pod");
    let user = User::new()?;
    user.writes(&manifests(&resources))?;
    user.brings_up()?.well("up")?;
    let container = &pods.first().context("a test")?["spec"]["containers"][0];
    let args: Vec<&str> = container["args"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        // Here the cluster is the one of the folder.
        .filter(|arg| !arg.starts_with("--bootstrap-server"))
        .collect();
    let said = user.types(&args)?.well("check")?;
    ensure!(
        said.output
            .starts_with("100 records written to 1 partition"),
        "{}",
        said.text
    );
    let left = user.types(&["topic", "list", "-o", "json"])?.well("list")?;
    ensure!(!left.output.contains("ottla-check"), "{}", left.output);
    let alone = user.types(&["check", "--bootstrap-server=127.0.0.1:1", "--timeout=1s"])?;
    if let Some(wrong) = alone.differs(6, &["no broker answers at 127.0.0.1:1"]) {
        anyhow::bail!("{wrong}");
    }
    Ok(())
}

/// JSON is YAML.
fn manifests(objects: &[Object]) -> String {
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    documents.join("\n---\n")
}
