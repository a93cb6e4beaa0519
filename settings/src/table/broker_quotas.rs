//! Quotas and metrics.

use crate::table::rows;

rows! { Broker:
    Accepted        Int    "quota.window.num"                                     "11"                     [1..]  Static      Low    Plain   "Samples that a client quota looks back on.";
    Accepted        Int    "quota.window.size.seconds"                            "1"                      [1..]  Static      Low    Seconds "Length of a sample of a client quota.";
    Accepted        Int    "replication.quota.window.num"                         "11"                     [1..]  Static      Low    Plain   "Samples that a replication quota looks back on.";
    Accepted        Int    "replication.quota.window.size.seconds"                "1"                      [1..]  Static      Low    Seconds "Length of a sample of a replication quota.";
    Accepted        Int    "alter.log.dirs.replication.quota.window.num"          "11"                     [1..]  Static      Low    Plain   "Samples that a directory move quota looks back on.";
    Accepted        Int    "alter.log.dirs.replication.quota.window.size.seconds" "1"                      [1..]  Static      Low    Seconds "Length of a sample of a directory move quota.";
    Accepted        Int    "controller.quota.window.num"                          "11"                     [1..]  Static      Low    Plain   "Samples that a controller mutation quota looks back on.";
    Accepted        Int    "controller.quota.window.size.seconds"                 "1"                      [1..]  Static      Low    Seconds "Length of a sample of a controller mutation quota.";
    Accepted        Int    "remote.log.manager.copy.quota.window.num"             "11"                     [1..]  Static      Medium Plain   "Samples that a remote copy quota looks back on.";
    Accepted        Int    "remote.log.manager.copy.quota.window.size.seconds"    "1"                      [1..]  Static      Medium Seconds "Length of a sample of a remote copy quota.";
    Accepted        Int    "remote.log.manager.fetch.quota.window.num"            "11"                     [1..]  Static      Medium Plain   "Samples that a remote fetch quota looks back on.";
    Accepted        Int    "remote.log.manager.fetch.quota.window.size.seconds"   "1"                      [1..]  Static      Medium Seconds "Length of a sample of a remote fetch quota.";
    Refused(POLICY) Class  "client.quota.callback.class"                          null                     []     Static      Low    Plain   "A plugin that decides quotas.";
    Accepted        List   "metric.reporters"                                     "org.apache.kafka.common.metrics.JmxReporter" [list] ClusterWide Low    Plain   "JVM classes that report metrics. Ottla serves Prometheus.";
    Accepted        Int    "metrics.num.samples"                                  "2"                      [1..]  Static      Low    Plain   "Samples kept per metric.";
    Accepted        Long   "metrics.sample.window.ms"                             "30000"                  [1..]  Static      Low    Ms      "Length of a sample of a metric.";
    Accepted        String "metrics.recording.level"                              "INFO"                   []     Static      Low    Plain   "How fine metrics are: INFO, DEBUG or TRACE.";
    Accepted        List   "kafka.metrics.reporters"                              ""                       [list] Static      Low    Plain   "JVM classes that report broker metrics. Ottla serves Prometheus.";
    Accepted        Int    "kafka.metrics.polling.interval.secs"                  "10"                     [1..]  Static      Low    Seconds "How often those reporters are asked.";
}
