{{- /* Names, labels, images and addresses. Most take (list $ "component"). */ -}}

{{- define "trading-platform.full" -}}
{{ (index . 0).Release.Name }}-{{ index . 1 }}
{{- end }}

{{- define "trading-platform.selector" -}}
app.kubernetes.io/name: trading-platform
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "trading-platform.labels" -}}
{{ include "trading-platform.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
trading-platform/environment: {{ (index . 0).Values.environment.name }}
{{- end }}

{{- define "trading-platform.image" -}}
{{- $image := (index . 0).Values.image -}}
{{ with $image.registry }}{{ . }}/{{ end }}trading-platform/{{ index . 1 }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end }}

{{- /* One value as the text of an environment variable: 1000000, not 1e+06; lists by comma. */ -}}
{{- define "trading-platform.text" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}
{{- else }}{{ . }}{{ end }}
{{- end }}

{{- /* A number that --set may have given as a text, as that text: 2.50 and "2.50" are 2.5. */ -}}
{{- define "trading-platform.number" -}}
{{ include "trading-platform.text" (float64 .) }}
{{- end }}

{{- /* The environment prefix of a service: feature-store gives FEATURE_STORE_. */ -}}
{{- define "trading-platform.prefix" -}}
{{ . | replace "-" "_" | upper }}_
{{- end }}

{{- /* Every service with its values, as JSON: who is asked by `helm test`, watched, and may be called. */ -}}
{{- define "trading-platform.services" -}}
{{- $v := .Values -}}
{{- dict
  "data-ingestion" $v.dataIngestion "feature-store" $v.featureStore "model-serving" $v.modelServing
  "order-routing" $v.orderRouting "archive" $v.archive "exchange-simulator" $v.exchangeSimulator | toJson -}}
{{- end }}

{{- /* --- where the others are --- */ -}}

{{- define "trading-platform.bootstrap" -}}
{{- if .Values.kafka.bootstrap }}{{ .Values.kafka.bootstrap }}
{{- else }}{{ .Release.Name }}-kafka.{{ .Release.Namespace }}.svc:9092{{ end }}
{{- end }}

{{- define "trading-platform.mlflow" -}}
{{ .Values.mlflow.uri | default (printf "http://%s-mlflow:5000" .Release.Name) }}
{{- end }}

{{- define "trading-platform.venueHttp" -}}
{{ .Values.venue.httpUrl | default (printf "http://%s-exchange-simulator:8080" .Release.Name) | trimSuffix "/" }}
{{- end }}

{{- define "trading-platform.venueStream" -}}
{{ .Values.venue.streamUrl | default (printf "ws://%s-exchange-simulator:8080" .Release.Name) | trimSuffix "/" }}
{{- end }}

{{- /* Where the archive's files are, as its pods and retraining's see it. */ -}}
{{- define "trading-platform.archivePlace" -}}
{{ .Values.archive.place | default "/archive" }}
{{- end }}

{{- /* The first instrument, as the venue's source names it. */ -}}
{{- define "trading-platform.instrument" -}}
{{ ternary "bybit" "sim" (ne .Values.venue.httpUrl "") }}.{{ .Values.venue.category }}.{{ first .Values.venue.symbols }}
{{- end }}

{{- /* --- secrets: the named one, or in dev the one that the secrets Job makes --- */ -}}

{{- define "trading-platform.publicKeys" -}}
{{ .Values.keys.publicSecret | default (printf "%s-public-keys" .Release.Name) }}
{{- end }}

{{- define "trading-platform.trainingKey" -}}
{{ .Values.keys.trainingSecret | default (printf "%s-training-key" .Release.Name) }}
{{- end }}

{{- define "trading-platform.gateKey" -}}
{{ .Values.keys.gateSecret | default (printf "%s-gate-key" .Release.Name) }}
{{- end }}

{{- define "trading-platform.venueKey" -}}
{{ .Values.venue.keySecret | default (printf "%s-venue-key" .Release.Name) }}
{{- end }}

{{- define "trading-platform.journalSecret" -}}
{{ .Values.journal.existingSecret | default (printf "%s-postgres" .Release.Name) }}
{{- end }}

{{- /* "true" where a part of the foundation runs inside of this release: (list $ "kafka"). */ -}}
{{- define "trading-platform.inside" -}}
{{- $dev := (index . 0).Values.dev -}}
{{- if and $dev.enabled (index $dev (index . 1)).enabled }}true{{ end }}
{{- end }}
