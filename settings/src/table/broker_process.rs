//! Process, listeners, sockets, threads and limits of a node.

use crate::table::rows;

rows! { Broker:
    Served             List    "process.roles"                                    required                 [list some of "broker" "controller"] Static      High   Plain "What this process is: broker, controller, or both.";
    Served             Int     "node.id"                                          required                 [0..]                Static      High   Plain "Id of this node, unique in the cluster.";
    Served             Int     "broker.id"                                        "-1"                     []                   Static      High   Plain "The older name of node.id; when set, both must be equal.";
    Served             String  "broker.rack"                                      null                     []                   Static      Medium Plain "Where this broker stands, told to controllers and clients.";
    Partly(SASL_LISTENERS) List    "listeners"                                        "PLAINTEXT://:9092"      [list some]          PerBroker   High   Plain restart SOCKETS "Sockets to listen on, as NAME://host:port; an empty host is every interface.";
    Served             List    "advertised.listeners"                             null                     [list some]          Static      High   Plain "What clients are told to connect to; listeners when not set.";
    Partly(SASL_LISTENERS) String  "listener.security.protocol.map"                   "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT" []                   PerBroker   Low    Plain restart SOCKETS "Which security protocol each listener name speaks.";
    Accepted           List    "early.start.listeners"                            null                     [list]               Static      High   Plain "Listeners that open before the authorizer is ready.";
    Served             String  "inter.broker.listener.name"                       null                     []                   Static      Medium Plain "The listener that brokers use among themselves.";
    Served             String  "security.inter.broker.protocol"                   "PLAINTEXT"              [of "PLAINTEXT" "SSL" "SASL_PLAINTEXT" "SASL_SSL"] Static      Medium Plain "Protocol among brokers when inter.broker.listener.name is not set.";
    Served             List    "controller.listener.names"                        required                 [list some]          Static      High   Plain "Listeners of the controllers; a broker connects to the first.";
    Served             Int     "socket.request.max.bytes"                         "104857600"              [1..]                Static      High   Bytes "Largest request that is read; a connection that sends a larger one is closed.";
    Accepted           Int     "socket.receive.buffer.bytes"                      "102400"                 []                   Static      High   Bytes "Receive buffer of client sockets; -1 leaves it to the system.";
    Accepted           Int     "socket.send.buffer.bytes"                         "102400"                 []                   Static      High   Bytes "Send buffer of client sockets; -1 leaves it to the system.";
    Accepted           Int     "socket.listen.backlog.size"                       "50"                     [1..]                Static      Medium Plain "Connections that may wait to be accepted.";
    Accepted           Long    "socket.connection.setup.timeout.ms"               "10000"                  []                   Static      Medium Ms    "First limit for setting up a connection to another node.";
    Accepted           Long    "socket.connection.setup.timeout.max.ms"           "30000"                  []                   Static      Medium Ms    "Longest limit for setting up a connection after repeated failures.";
    Served             Long    "connections.max.idle.ms"                          "600000"                 []                   Static      Medium Ms    "A connection without traffic for this long is closed.";
    Accepted           Int     "connection.failed.authentication.delay.ms"        "100"                    [0..]                Static      Low    Ms    "How long a connection whose authentication failed is kept before it is closed.";
    Refused(SASL)      Long    "connections.max.reauth.ms"                        "0"                      []                   Static      Medium Ms    "Longest SASL session before a client must authenticate again; 0 means no limit.";
    Served             Int     "max.connections"                                  "2147483647"             [0..]                ClusterWide Medium Plain "Most connections on this broker at a time.";
    Accepted           Int     "max.connections.per.ip"                           "2147483647"             [0..]                ClusterWide Medium Plain "Most connections from one address at a time.";
    Accepted           String  "max.connections.per.ip.overrides"                 ""                       []                   ClusterWide Medium Plain "Other limits for single addresses or host names, as host:number.";
    Accepted           Int     "max.connection.creation.rate"                     "2147483647"             [0..]                ClusterWide Medium Plain "Most new connections per second on this broker.";
    Accepted           Int     "num.network.threads"                              "3"                      [1..]                ClusterWide High   Plain "Kafka: threads per listener that read and write sockets. Ottla has one loop per core.";
    Accepted           Int     "num.io.threads"                                   "8"                      [1..]                ClusterWide High   Plain "Kafka: threads that handle requests. Ottla has one loop per core.";
    Accepted           Int     "background.threads"                               "10"                     [1..]                ClusterWide High   Plain "Kafka: threads for timers and upkeep.";
    Accepted           Int     "queued.max.requests"                              "500"                    [1..]                Static      High   Plain "Requests that may wait before sockets are no longer read.";
    Accepted           Long    "queued.max.request.bytes"                         "-1"                     []                   Static      Medium Bytes "Bytes of requests that may wait before sockets are no longer read; -1 for no limit.";
    Accepted           Int     "request.timeout.ms"                               "30000"                  []                   Static      High   Ms    "How long a request to another node may take.";
    Accepted           Int     "max.request.partition.size.limit"                 "2000"                   [1..]                Static      Medium Plain "Most partitions that one DescribeTopicPartitions answer lists.";
    Served             Int     "fetch.max.bytes"                                  "57671680"               [1024..]             Static      Medium Bytes "Most bytes that one fetch answer holds, whatever the client asks for.";
    Served             Int     "max.incremental.fetch.session.cache.slots"        "1000"                   [0..]                Static      Medium Plain "Fetch sessions that are remembered at a time.";
    Accepted           Int     "fetch.purgatory.purge.interval.requests"          "1000"                   []                   Static      Medium Plain "Kafka: how often finished waiting fetches are swept. Ottla has no purgatory.";
    Accepted           Int     "producer.purgatory.purge.interval.requests"       "1000"                   []                   Static      Medium Plain "Kafka: how often finished waiting produces are swept. Ottla has no purgatory.";
    Accepted           Int     "delete.records.purgatory.purge.interval.requests" "1"                      []                   Static      Medium Plain "Kafka: how often finished waiting deletions are swept. Ottla has no purgatory.";
    Accepted           Long    "server.max.startup.time.ms"                       "9223372036854775807"    [0..]                Static      Medium Ms    internal true "A start that takes longer than this is given up. For tests.";
    Refused(UNSTABLE)  Boolean "unstable.api.versions.enable"                     "false"                  []                   Static      High   Plain internal true "Offer API versions that are not released.";
    Refused(UNSTABLE)  Boolean "unstable.feature.versions.enable"                 "false"                  []                   Static      High   Plain internal true "Allow feature levels that are not released.";
    Refused(PROVIDERS) List    "config.providers"                                 ""                       [list]               ClusterWide Low    Plain since "4.2" "Names of plugins that replace ${...} in values.";
    Served             String  "ottla.metrics.listener"                           null                     [address]            Static      Medium Plain since "ottla" "Where /metrics, /healthz and /readyz are served over HTTP, as host:port (0.0.0.0:9404 for every interface); not served when not set.";
}
