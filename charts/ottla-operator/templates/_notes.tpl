{{/* What a user reads after an install: a template, so that tests can read it too. */}}
{{- define "ottla-operator.notes" -}}
{{- $ns := .Release.Namespace -}}
{{ .Chart.Name }} {{ .Chart.AppVersion }} is installed as {{ include "ottla-operator.fullname" . }} in namespace {{ $ns }}.
It looks after {{ with .Values.watchNamespace }}namespace {{ . }} only{{ else }}all namespaces{{ end }}; brokers run {{ include "ottla-operator.image" (dict "image" .Values.brokerImage "tag" .Chart.AppVersion) }}.

Wait for it:
  kubectl --namespace {{ $ns }} rollout status deployment/{{ include "ottla-operator.fullname" . }}

Then make a cluster, by the chart beside this one:
  helm install my charts/ottla-cluster{{ with .Values.watchNamespace }} --namespace {{ . }}{{ end }}
or by a manifest:

kubectl apply{{ with .Values.watchNamespace }} --namespace {{ . }}{{ end }} --filename - <<MANIFEST
apiVersion: ottla.io/v1alpha1
kind: KafkaCluster
metadata:
  name: my
spec:
  replicas: 1
  storage:
    type: persistent-claim
    size: 1Gi
  listeners:
    - name: plain
      port: 9092
      type: internal
MANIFEST
{{- if not .Values.crds.install }}

NOTE: crds.install is false: the operator starts working when the definitions of ottla.io are there.
{{- else if not .Values.crds.keep }}

WARNING: crds.keep is false: `helm uninstall` deletes the definitions, and with them every KafkaCluster and
KafkaTopic. Their volumes stay.
{{- end }}
{{- if not .Values.rbac.create }}

NOTE: rbac.create is false: service account {{ include "ottla-operator.serviceAccount" . }} has the rights that you give it.
{{- end }}
{{- if not (or .Values.image.registry .Values.brokerImage.registry) }}

NOTE: no registry is named, so nodes must have the images already, or get them from their default registry.
{{- end }}
{{- end }}
