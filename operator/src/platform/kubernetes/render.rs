//! A plan as objects of Kubernetes. Pure: the same plan gives the same objects, byte for byte.
//!
//! Invariant: every pod fits the restricted Pod Security Standard; brokers hold no rights on the
//! API. Not here: what is there already (`look`), which of them are missing (`work`).

use ottla_operator_api::KafkaCluster;
use ottla_operator_plan::{Address, Broker};
use serde_json::{Value, json};

use super::drift::signed;
use super::names::{CLUSTER_ID, Names, STARTED_AS};
use super::part::{Kind, Part};
use crate::platform::properties::{Place, server_properties};

/// Where the metadata quorum is reached, on the controller's pod.
pub const CONTROLLER_PORT: u16 = 9090;
/// Where a broker serves metrics and probes.
const METRICS_PORT: u16 = 9404;
/// Where a broker's volume is mounted. The directory below it is Kafka's: a file system may have
/// something of its own at the top (`lost+found`).
const DATA: &str = "/var/lib/kafka";
const CONFIG: &str = "/etc/ottla";
/// Whom a broker's process runs as.
const USER: i64 = 65532;
/// A broker that has not stopped after this is killed, in seconds.
const GRACE_SECONDS: i64 = 60;

/// What the parts of one cluster have in common.
pub struct Render<'a> {
    /// What they are called.
    pub names: &'a Names,
    /// Whose they are.
    pub cluster: &'a KafkaCluster,
    /// The brokers' image.
    pub image: &'a str,
}

impl<'a> Render<'a> {
    /// The same, with another image.
    pub fn with_image<'b>(&self, image: &'b str) -> Render<'b>
    where
        'a: 'b,
    {
        Render { image, ..*self }
    }

    fn part(
        &self,
        kind: Kind,
        name: String,
        labels: Value,
        annotations: Value,
        body: Value,
    ) -> Part {
        let mut value = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.names().2,
            "metadata": {
                "name": name,
                "namespace": self.names.namespace,
                "labels": labels,
                "annotations": annotations,
            },
        });
        // Records outlive the manifest.
        if kind != Kind::PersistentVolumeClaim {
            value["metadata"]["ownerReferences"] = json!([self.owner()]);
        }
        if let (Value::Object(value), Value::Object(body)) = (&mut value, body) {
            value.extend(body);
        }
        Part {
            kind,
            name,
            value: signed(value),
        }
    }

    /// A part that belongs to no broker.
    fn shared(&self, kind: Kind, name: String, body: Value) -> Part {
        self.part(kind, name, self.names.labels(), json!({}), body)
    }

    fn owner(&self) -> Value {
        json!({
            "apiVersion": Kind::KafkaCluster.api_version(),
            "kind": "KafkaCluster",
            "name": self.names.cluster,
            "uid": self.cluster.metadata.uid,
            "controller": true,
        })
    }

    /// What the cluster has once, whatever its brokers do.
    pub fn common(&self, brokers: usize) -> Vec<Part> {
        vec![
            self.headless_service(),
            self.bootstrap_service(),
            self.disruption_budget(brokers),
            self.network_policy(),
        ]
    }

    fn client_ports(&self) -> Vec<Value> {
        let listeners = self.cluster.spec.listeners.iter();
        listeners
            .map(|listener| port(&format!("tcp-{}", listener.name), listener.port))
            .collect()
    }

    fn headless_service(&self) -> Part {
        let mut ports = self.client_ports();
        ports.push(port("tcp-controller", i32::from(CONTROLLER_PORT)));
        let body = json!({ "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            // A broker is found by the others before it serves.
            "publishNotReadyAddresses": true,
            "selector": self.names.selector(),
            "ports": ports,
        }});
        self.shared(Kind::Service, self.names.brokers(), body)
    }

    fn bootstrap_service(&self) -> Part {
        let body = json!({ "spec": {
            "type": "ClusterIP",
            "selector": self.names.selector(),
            "ports": self.client_ports(),
        }});
        self.shared(Kind::Service, self.names.bootstrap(), body)
    }

    /// One broker may be away. `minAvailable`, because `maxUnavailable` does not count a
    /// StatefulSet whose pod is gone.
    fn disruption_budget(&self, brokers: usize) -> Part {
        let body = json!({ "spec": {
            "minAvailable": brokers.saturating_sub(1),
            "selector": { "matchLabels": self.names.selector() },
        }});
        self.shared(Kind::PodDisruptionBudget, self.names.all(), body)
    }

    /// Clients reach the listeners; the quorum is for the brokers alone.
    fn network_policy(&self) -> Part {
        let brokers = json!({ "podSelector": { "matchLabels": self.names.selector() } });
        let listeners = self.cluster.spec.listeners.iter();
        let open: Vec<Value> = listeners
            .map(|listener| listener.port)
            .chain([i32::from(METRICS_PORT)])
            .map(|port| json!({ "protocol": "TCP", "port": port }))
            .collect();
        let body = json!({ "spec": {
            "podSelector": { "matchLabels": self.names.selector() },
            "policyTypes": ["Ingress"],
            "ingress": [
                { "ports": open },
                {
                    "from": [brokers],
                    "ports": [{ "protocol": "TCP", "port": CONTROLLER_PORT }],
                },
            ],
        }});
        self.shared(Kind::NetworkPolicy, self.names.all(), body)
    }

    /// A broker's volume. `cluster_id` goes with it, so that it can be used in a later life of the
    /// cluster.
    pub fn claim(&self, id: i32, size: &str, cluster_id: &str) -> Part {
        let annotations = json!({
            CLUSTER_ID: cluster_id,
            // Tools that compare a namespace with a repository leave records alone.
            "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
            "argocd.argoproj.io/sync-options": "Prune=false",
        });
        let body = json!({ "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": { "requests": { "storage": size } },
        }});
        let labels = self.names.broker_labels(id);
        self.part(
            Kind::PersistentVolumeClaim,
            self.names.claim(id),
            labels,
            annotations,
            body,
        )
    }

    /// What a broker reads when it starts. None while an address is not known.
    pub fn configuration(&self, broker: &Broker) -> Option<Part> {
        let place = Place {
            comment: "Written by the operator. Changes belong into the KafkaCluster.",
            data: &format!("{DATA}/data"),
            bind: |address| everywhere(address.port),
            metrics: &everywhere(METRICS_PORT),
        };
        let text = server_properties(broker, &place)?;
        let body = json!({ "data": { "server.properties": text } });
        let labels = self.names.broker_labels(broker.id);
        let name = self.names.broker(broker.id);
        Some(self.part(Kind::ConfigMap, name, labels, json!({}), body))
    }

    /// A broker's StatefulSet, with its pod or without.
    pub fn stateful_set(&self, broker: &Broker, cluster_id: &str, runs: bool) -> Part {
        let started_as = serde_json::to_string(broker).expect("a broker is plain data");
        let labels = self.names.broker_labels(broker.id);
        let mut selector = self.names.selector();
        selector[super::names::BROKER_ID] = json!(broker.id.to_string());
        let body = json!({ "spec": {
            "serviceName": self.names.brokers(),
            "replicas": i32::from(runs),
            "podManagementPolicy": "Parallel",
            // A pod is ended when the plan says so, not when its template changes.
            "updateStrategy": { "type": "OnDelete" },
            "selector": { "matchLabels": selector },
            "template": {
                "metadata": {
                    "labels": labels.clone(),
                    "annotations": {
                        STARTED_AS: started_as,
                        "kubectl.kubernetes.io/default-container": "kafka",
                    },
                },
                "spec": self.pod(broker, cluster_id),
            },
        }});
        let annotations = json!({ STARTED_AS: started_as });
        let name = self.names.broker(broker.id);
        self.part(Kind::StatefulSet, name, labels, annotations, body)
    }

    fn pod(&self, broker: &Broker, cluster_id: &str) -> Value {
        let mut ports: Vec<Value> = Vec::new();
        for listener in &broker.listeners {
            let number = listener.address.as_ref().map_or(0, |address| address.port);
            ports.push(json!({
                "name": format!("tcp-{}", listener.name),
                "containerPort": number,
                "protocol": "TCP",
            }));
        }
        ports.push(json!({
            "name": "tcp-prometheus",
            "containerPort": METRICS_PORT,
            "protocol": "TCP",
        }));
        let probe = |path: &str| json!({ "path": path, "port": "tcp-prometheus" });
        json!({
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                // A volume of a terabyte is not walked at every start.
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "affinity": self.spread(),
            "containers": [{
                "name": "kafka",
                "image": self.image,
                "imagePullPolicy": "IfNotPresent",
                // Why a broker ended is the last line it wrote.
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "args": [format!("{CONFIG}/server.properties")],
                // An empty directory is formatted with it, as by the apache/kafka image.
                "env": [{ "name": "CLUSTER_ID", "value": cluster_id }],
                "ports": ports,
                // A shard that is busy says after 3 s that it is; the probe waits for its word.
                "readinessProbe": {
                    "httpGet": probe("/readyz"),
                    "periodSeconds": 1,
                    "timeoutSeconds": 5,
                },
                "livenessProbe": {
                    "httpGet": probe("/healthz"),
                    "periodSeconds": 10,
                    "timeoutSeconds": 5,
                    "failureThreshold": 6,
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
                "volumeMounts": [
                    { "name": "data", "mountPath": DATA },
                    { "name": "config", "mountPath": CONFIG, "readOnly": true },
                ],
            }],
            "volumes": [
                {
                    "name": "data",
                    "persistentVolumeClaim": { "claimName": self.names.claim(broker.id) },
                },
                {
                    "name": "config",
                    "configMap": { "name": self.names.broker(broker.id) },
                },
            ],
        })
    }

    /// Brokers of one cluster keep away from each other where there is room: nodes first, then
    /// zones.
    fn spread(&self) -> Value {
        let term = |weight: i32, key: &str| {
            json!({
                "weight": weight,
                "podAffinityTerm": {
                    "labelSelector": { "matchLabels": self.names.selector() },
                    "topologyKey": key,
                },
            })
        };
        json!({ "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
            term(100, "kubernetes.io/hostname"),
            term(50, "topology.kubernetes.io/zone"),
        ]}})
    }

    /// What must outlive an operator, as a ConfigMap.
    pub fn memory(&self, text: &str) -> Part {
        let body = json!({ "data": { "memory.json": text } });
        self.shared(Kind::ConfigMap, self.names.memory(), body)
    }
}

fn everywhere(port: u16) -> Address {
    Address {
        host: "0.0.0.0".into(),
        port,
    }
}

fn port(name: &str, number: i32) -> Value {
    json!({ "name": name, "port": number, "targetPort": number, "protocol": "TCP" })
}
