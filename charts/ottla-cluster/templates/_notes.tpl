{{/* What a user reads after an install: a template, so that tests can read it too. */}}
{{- define "ottla-cluster.notes" -}}
{{- $name := include "ottla-cluster.fullname" . -}}
{{- $ns := .Release.Namespace -}}
{{- $host := printf "%s-kafka-bootstrap.%s.svc" $name $ns -}}
{{- $exec := printf "kubectl --namespace %s exec --stdin %s-kafka-0-0 -- ottla" $ns $name -}}
{{- $server := printf "--bootstrap-server %s" (include "ottla-cluster.bootstrap" .) -}}
KafkaCluster {{ $name }} in namespace {{ $ns }}: {{ .Values.replicas }} {{ ternary "broker" "brokers" (eq (int .Values.replicas) 1) }} with {{ .Values.storage.size }} each, {{ len .Values.topics }} {{ ternary "topic" "topics" (eq (len .Values.topics) 1) }}.

Clients begin at:
{{- range .Values.listeners }}
  {{ printf "%-11s" .name }} {{ $host }}:{{ int .port }}
{{- end }}

Wait until it serves, and look:
  kubectl --namespace {{ $ns }} wait --for=condition=Ready kafkacluster/{{ $name }} --timeout=120s
  kubectl --namespace {{ $ns }} get kafkaclusters,kafkatopics

Write and read:
{{- if eq (toString (index .Values.config "auto.create.topics.enable")) "false" }}
  {{ $exec }} topic create greetings {{ $server }}
{{- end }}
  echo hello | {{ $exec }} produce greetings {{ $server }}
  {{ $exec }} consume greetings --from-beginning --until-end {{ $server }}

Write {{ int .Values.test.records }} records, read them back and compare:
  helm test {{ .Release.Name }} --namespace {{ $ns }}

WARNING: this version keeps one copy of each partition: while a broker is away, what it holds cannot be read or
written, and a volume that is lost takes its records with it.
WARNING: listeners are not encrypted, and whoever reaches them may read and write.
{{- if gt (int .Values.replicas) 1 }}
WARNING: the first broker alone decides about metadata: while it is away, topics cannot be changed.
{{- end }}
{{- if eq (toString (index .Values.config "ottla.durability")) "page-cache" }}
WARNING: ottla.durability is page-cache: a power cut may lose records that were acknowledged.
{{- end }}
{{- range $topic, $values := .Values.topics }}
{{- if eq (toString $values.deletionPolicy) "Delete" }}
WARNING: topic {{ $topic }} has deletionPolicy Delete: taking it out of topics deletes it with its records.
{{- end }}
{{- if eq (toString (index (default dict $values.config) "ottla.durability")) "page-cache" }}
WARNING: topic {{ $topic }} has ottla.durability page-cache: a power cut may lose records that were acknowledged.
{{- end }}
{{- end }}
{{- end }}
