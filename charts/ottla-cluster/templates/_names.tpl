{{/* Names and labels; what more than one template says. */}}

{{- define "ottla-cluster.fullname" -}}
{{- $name := default .Release.Name .Values.fullnameOverride }}
{{- if gt (len $name) 40 }}
{{- fail (printf "the release's name %s has %d characters, and a KafkaCluster's name 40 at most: set fullnameOverride" $name (len $name)) }}
{{- end }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
{{- fail (printf "the release's name %s is no KafkaCluster's name (lower-case letters, digits and '-', beginning with a letter): set fullnameOverride" $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{/* The chart's labels and those of values; one more map of them may stand behind the root. */}}
{{- define "ottla-cluster.labels" -}}
{{- $own := index . 1 }}
{{- with index . 0 }}
{{- with merge (dict) $own .Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- end }}

{{/* Where clients begin, on the first listener. */}}
{{- define "ottla-cluster.bootstrap" -}}
{{ include "ottla-cluster.fullname" . }}-kafka-bootstrap.{{ .Release.Namespace }}.svc:{{ (index .Values.listeners 0).port }}
{{- end }}

{{- define "ottla-cluster.needs-definitions" -}}
{{- if not (.Capabilities.APIVersions.Has "ottla.io/v1alpha1/KafkaCluster") }}
{{- fail "\n\nThis Kubernetes does not know KafkaClusters yet: install the chart ottla-operator first, or apply the definitions (crds/).\nWithout a cluster, `helm template` is told by --api-versions ottla.io/v1alpha1/KafkaCluster.\n" }}
{{- end }}
{{- end }}
