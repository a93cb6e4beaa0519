//! Values that nobody should get away with, and the path at which they are refused. Keys that are unknown at the
//! top are told in one line: of them the key in quotes is looked for.

/// Of the operator's chart.
pub const OPERATOR: &[(&str, &str)] = &[
    ("replicas: 2", "'replicas'"),
    ("replicaCount: two", "at '/replicaCount'"),
    ("replicaCount: -1", "at '/replicaCount'"),
    ("replicaCount: 1.5", "at '/replicaCount'"),
    ("image: ottla-operator:latest", "at '/image'"),
    (
        "image: {tagg: x}",
        "at '/image': additional properties 'tagg'",
    ),
    ("image: {tag: 1.0}", "at '/image/tag'"),
    ("image: {repository: Ottla}", "at '/image/repository'"),
    ("image: {repository: 'ottla:0.1'}", "at '/image/repository'"),
    ("image: {digest: 0123}", "at '/image/digest'"),
    ("image: {pullPolicy: Sometimes}", "at '/image/pullPolicy'"),
    (
        "brokerImage: {pullPolicy: Always}",
        "at '/brokerImage': additional properties 'pullPolicy'",
    ),
    ("crds: {install: 'yes'}", "at '/crds/install'"),
    (
        "crds: {enabled: true}",
        "at '/crds': additional properties 'enabled'",
    ),
    ("watchNamespace: [a]", "at '/watchNamespace'"),
    ("watchNamespace: a,b", "at '/watchNamespace'"),
    ("watchNamespaces: [a]", "'watchNamespaces'"),
    ("fullnameOverride: Big_Name", "at '/fullnameOverride'"),
    ("commonLabels: {team: 5}", "at '/commonLabels/team'"),
    (
        "commonLabels: {app.kubernetes.io/name: mine}",
        "at '/commonLabels/app.kubernetes.io~1name'",
    ),
    ("imagePullSecrets: [registry]", "at '/imagePullSecrets/0'"),
    ("extraEnv: {A: b}", "at '/extraEnv'"),
    ("extraEnv: [{name: A, valeu: b}]", "at '/extraEnv/0'"),
    ("serviceAccount: {create: 1}", "at '/serviceAccount/create'"),
    ("rbac: {craete: false}", "at '/rbac'"),
    ("metrics: {enabled: true}", "at '/metrics'"),
    (
        "metrics: {service: {type: LoadBalancer}}",
        "at '/metrics/service'",
    ),
    ("podAnnotations: {a: true}", "at '/podAnnotations/a'"),
    (
        "podSecurityContext: {runAsUser: root}",
        "at '/podSecurityContext/runAsUser'",
    ),
    (
        "securityContext: {readOnlyRootFileSystem: true}",
        "at '/securityContext'",
    ),
    (
        "securityContext: {capabilities: {drop: ALL}}",
        "at '/securityContext/capabilities/drop'",
    ),
    ("resources: {memory: 1Gi}", "at '/resources'"),
    ("tolerations: [{keys: a}]", "at '/tolerations/0'"),
    ("affinity: {nodeafinity: {}}", "at '/affinity'"),
    ("logLevel: 3", "at '/logLevel'"),
];

/// Of the cluster's chart.
pub const CLUSTER: &[(&str, &str)] = &[
    ("brokers: 3", "'brokers'"),
    ("replicas: 0", "at '/replicas'"),
    ("replicas: 101", "at '/replicas'"),
    ("replicas: '3'", "at '/replicas'"),
    ("storage: {size: 10}", "at '/storage/size'"),
    ("storage: {size: 10GB}", "at '/storage/size'"),
    ("storage: {size: 0Gi}", "at '/storage/size'"),
    ("storage: {type: ephemeral}", "at '/storage/type'"),
    (
        "storage: {class: fast}",
        "at '/storage': additional properties 'class'",
    ),
    ("listeners: []", "at '/listeners'"),
    (
        "listeners: [{name: plain, port: 9092}]",
        "at '/listeners/0'",
    ),
    (
        "listeners: [{name: Plain, port: 9092, type: internal}]",
        "at '/listeners/0/name'",
    ),
    (
        "listeners: [{name: controller, port: 9092, type: internal}]",
        "at '/listeners/0/name'",
    ),
    (
        "listeners: [{name: plain, port: 9404, type: internal}]",
        "at '/listeners/0/port'",
    ),
    (
        "listeners: [{name: plain, port: 9092, type: nodeport}]",
        "at '/listeners/0/type'",
    ),
    (
        "listeners: [{name: plain, port: 9092, type: internal, tls: true}]",
        "at '/listeners/0/tls'",
    ),
    (
        "config: {auto.create.topics.enable: false}",
        "at '/config/auto.create.topics.enable'",
    ),
    (
        "config: {log.retention.bytes: 9223372036854775807}",
        "at '/config/log.retention.bytes'",
    ),
    (
        "config: {num.io.threads: 1.5}",
        "at '/config/num.io.threads'",
    ),
    ("topics: [orders]", "at '/topics'"),
    (
        "topics: {Orders: {partitions: 1}}",
        "at '/topics': additional properties 'Orders'",
    ),
    (
        "topics: {orders: {}}",
        "at '/topics/orders': missing property 'partitions'",
    ),
    (
        "topics: {orders: {partitions: 0}}",
        "at '/topics/orders/partitions'",
    ),
    (
        "topics: {orders: {partitions: 1, replication: 1}}",
        "at '/topics/orders': additional properties 'replication'",
    ),
    (
        "topics: {orders: {partitions: 1, deletionPolicy: delete}}",
        "at '/topics/orders/deletionPolicy'",
    ),
    (
        "topics: {orders: {partitions: 1, topicName: __orders}}",
        "at '/topics/orders/topicName'",
    ),
    (
        "topics: {orders: {partitions: 1, config: {retention.ms: [1]}}}",
        "at '/topics/orders/config/retention.ms'",
    ),
    ("fullnameOverride: 1st", "at '/fullnameOverride'"),
    (
        "labels: {helm.sh/chart: mine}",
        "at '/labels/helm.sh~1chart'",
    ),
    ("annotations: {a: 1}", "at '/annotations/a'"),
    ("test: {records: 0}", "at '/test/records'"),
    (
        "test: {enabled: false}",
        "at '/test': additional properties 'enabled'",
    ),
    (
        "test: {image: {pullPolicy: null, policy: Always}}",
        "at '/test/image'",
    ),
];
