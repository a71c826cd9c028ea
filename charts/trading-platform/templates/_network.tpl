{{- /* Network policies from files/paths.yaml: (list $ component) allows a component exactly its rows, and DNS. */ -}}

{{- /* Where a row's `to` is: a component of this release, or empty when it lies outside. */ -}}
{{- define "trading-platform.target" -}}
{{- $root := index . 0 -}}
{{- $to := index . 1 -}}
{{- $v := $root.Values -}}
{{- if eq $to "kafka" }}{{ if not $v.kafka.bootstrap }}kafka{{ end }}
{{- else if eq $to "journal" }}{{ if not $v.journal.existingSecret }}postgres{{ end }}
{{- else if eq $to "mlflow" }}{{ if not $v.mlflow.uri }}mlflow{{ end }}
{{- else if eq $to "venue" }}{{ if not $v.venue.httpUrl }}exchange-simulator{{ end }}
{{- else if not (hasKey $v.networkPolicy.external $to) }}{{ $to }}
{{- end }}
{{- end }}

{{- /* The port at which a component of this release is called. */ -}}
{{- define "trading-platform.port" -}}
{{- get (dict "kafka" "9092" "postgres" "5432" "mlflow" "5000") . | default "50051" }}
{{- end }}

{{- define "trading-platform.networkPolicy" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $v := $root.Values -}}
{{- $rows := $root.Files.Get "files/paths.yaml" | fromYamlArray -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "trading-platform.full" . }}
  labels: {{ include "trading-platform.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{ include "trading-platform.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- range $row := $rows }}
    {{- if eq (include "trading-platform.target" (list $root $row.to)) $component }}
    - from:
        - podSelector:
            matchLabels: {{ include "trading-platform.selector" (list $root $row.from) | nindent 14 }}
      ports:
        - {port: {{ eq $row.to "venue" | ternary "8080" (include "trading-platform.port" $component) }}}
    {{- end }}
    {{- end }}
    {{- if hasKey (include "trading-platform.services" $root | fromJson) $component }}
    {{- with $v.networkPolicy.clients }}
    - from: {{ toYaml . | nindent 8 }}
      ports:
        - {port: 50051}
    {{- end }}
    {{- with $v.networkPolicy.monitoring }}
    - from: {{ toYaml . | nindent 8 }}
      ports:
        - {port: 9464}
    {{- end }}
    {{- end }}
  egress:
    - ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
      {{- with $v.networkPolicy.dns }}
      to: {{ toYaml . | nindent 8 }}
      {{- end }}
    {{- range $row := $rows }}
    {{- if eq $row.from $component }}
    {{- $target := include "trading-platform.target" (list $root $row.to) }}
    {{- if $target }}
    - to:
        - podSelector:
            matchLabels: {{ include "trading-platform.selector" (list $root $target) | nindent 14 }}
      ports:
        - {port: {{ eq $row.to "venue" | ternary "8080" (include "trading-platform.port" $target) }}}
    {{- else if include "trading-platform.uses" (list $root $row.to) }}
    {{- $outside := index $v.networkPolicy.external $row.to }}
    - ports:
        {{- range $outside.ports | default (include "trading-platform.portsOf" (list $root $row.to) | fromJsonArray) }}
        - {port: {{ int . }}}
        {{- end }}
      {{- with $outside.to }}
      to: {{ toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
    {{- end }}
    {{- end }}
{{- end }}

{{- /* "true" where something outside is spoken to at all. */ -}}
{{- define "trading-platform.uses" -}}
{{- $v := (index . 0).Values -}}
{{- $to := index . 1 -}}
{{- if eq $to "traces" }}{{ if $v.tracing.endpoint }}true{{ end }}
{{- else if eq $to "objects" }}{{ if $v.archive.place }}true{{ end }}
{{- else if eq $to "notifications" }}{{ if $v.notifications.existingSecret }}true{{ end }}
{{- else }}true{{ end }}
{{- end }}

{{- /* The ports in the addresses of something outside, as JSON. */ -}}
{{- define "trading-platform.portsOf" -}}
{{- $v := (index . 0).Values -}}
{{- $to := index . 1 -}}
{{- $ports := list -}}
{{- if eq $to "kafka" }}
{{- range splitList "," $v.kafka.bootstrap }}{{ $ports = append $ports (splitList ":" . | last | int) }}{{ end }}
{{- else }}
{{- $addresses := dict "mlflow" (list $v.mlflow.uri) "venue" (list $v.venue.httpUrl $v.venue.streamUrl) "traces" (list $v.tracing.endpoint) "objects" (list ($v.archive.endpoint | default "https://s3")) }}
{{- range compact (get $addresses $to | default list) }}
{{- $url := urlParse . }}
{{- $given := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- $ports = append $ports ($given | default (ternary "443" "80" (has $url.scheme (list "https" "wss"))) | int) }}
{{- end }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}
