{{- /*
One gRPC service: settings, account, headless Service, budget, network policy and its pods.

(list $ spec values): `values` are the component's own of values.yaml; `spec` says what is particular to it:
  component  kebab-case name                    kind      Deployment or StatefulSet
  single     never two at once                  waits     of topics, journal
  settings   names without the prefix           podName   a setting that gets the pod's name
  secretEnv  [{name, secret, key}]              envFrom   [secret]: all keys of a secret
  env        more of the container's environment
  files      [{name, path, secret}]             claims    [{name, path, size}] one volume per pod
  volume     {name, path, claim}: one claim shared with others
  ports      [{name, port}] beside grpc and metrics
  scaled     replicas belong to KEDA when that is on
  drain      seconds in which callers stop calling before the service is told to end
*/ -}}
{{- define "trading-platform.service" -}}
{{- $root := index . 0 -}}
{{- $spec := index . 1 -}}
{{- $values := index . 2 -}}
{{- with $spec.Error }}{{ fail . }}{{ end -}}
{{- $full := include "trading-platform.full" (list $root $spec.component) -}}
{{- $labels := include "trading-platform.labels" (list $root $spec.component) -}}
{{- $selector := include "trading-platform.selector" (list $root $spec.component) -}}
{{- $settings := include "trading-platform.settings" . | trim -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $full }}
  labels: {{ $labels | nindent 4 }}
data: {{ $settings | nindent 2 }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $full }}
  labels: {{ $labels | nindent 4 }}
  {{- with $values.serviceAccountAnnotations }}
  annotations: {{ toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $full }}
  labels: {{ $labels | nindent 4 }}
spec:
  clusterIP: None  # a client sees every pod, and shares its calls among them (round_robin)
  selector: {{ $selector | nindent 4 }}
  ports:
    - {name: grpc, port: 50051, targetPort: grpc, appProtocol: grpc}
    - {name: metrics, port: 9464, targetPort: metrics}
    {{- range $spec.ports }}
    - {name: {{ .name }}, port: {{ .port }}, targetPort: {{ .name }}}
    {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $full }}
  labels: {{ $labels | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{ $selector | nindent 6 }}
---
apiVersion: apps/v1
kind: {{ $spec.kind }}
metadata:
  name: {{ $full }}
  labels: {{ $labels | nindent 4 }}
spec:
  {{- if not (and $spec.scaled $root.Values.autoscaling.keda.enabled) }}
  replicas: {{ $values.replicas }}
  {{- end }}
  selector:
    matchLabels: {{ $selector | nindent 6 }}
  {{- if eq $spec.kind "StatefulSet" }}
  serviceName: {{ $full }}
  podManagementPolicy: Parallel  # members need not wait for each other, nor a mended image for a pod that never became ready
  {{- else }}
  strategy: {type: {{ ternary "Recreate" "RollingUpdate" (default false $spec.single) }}}
  {{- end }}
  revisionHistoryLimit: 5
  template:
    metadata:
      labels: {{ $labels | nindent 8 }}
      annotations:
        checksum/settings: {{ sha256sum $settings }}
    spec: {{ include "trading-platform.servicePod" (list $root $spec $values) | nindent 6 }}
  {{- with $spec.claims }}
  volumeClaimTemplates:
    {{- range . }}
    - metadata:
        name: {{ .name }}
        labels: {{ $selector | nindent 10 }}
      spec: {{ include "trading-platform.claim" (list $root .size) | nindent 8 }}
    {{- end }}
  {{- end }}
{{- end }}

{{- define "trading-platform.servicePod" -}}
{{- $root := index . 0 -}}
{{- $spec := index . 1 -}}
{{- $values := index . 2 -}}
{{- $full := include "trading-platform.full" (list $root $spec.component) -}}
{{- $image := include "trading-platform.image" (list $root $spec.component) -}}
{{- $prefix := include "trading-platform.prefix" $spec.component -}}
{{- $mounts := concat (default list $spec.claims) (ternary (list $spec.volume) list (hasKey $spec "volume")) -}}
serviceAccountName: {{ $full }}
{{ include "trading-platform.podHead" (list $root 10001) }}
shareProcessNamespace: true  # as process 1 it would not hear SIGTERM before it listens for it: an end while it loads took the whole grace period
terminationGracePeriodSeconds: 60  # the service's own end takes 5 s for its calls and at most 10 s for a task
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "trading-platform.selector" (list $root $spec.component) | nindent 8 }}
  {{- end }}
initContainers:
  {{- range $mounts }}
  {{- include "trading-platform.ownVolume" (list $root $image 10001 .name) | nindent 2 }}
  {{- end }}
  {{- if has "topics" $spec.waits }}
  {{- include "trading-platform.waitTopics" (list $root $image) | nindent 2 }}
  {{- end }}
  {{- if has "journal" $spec.waits }}
  {{- include "trading-platform.waitJournal" (list $root $image) | nindent 2 }}
  {{- end }}
containers:
  - name: {{ $spec.component }}
    image: {{ $image }}
    {{- include "trading-platform.containerHead" $root | nindent 4 }}
    envFrom:
      - configMapRef: {name: {{ $full }}}
      {{- range $spec.envFrom }}
      - secretRef: {name: {{ . }}}
      {{- end }}
    env:
      - {name: HOME, value: /tmp}
      - {name: OMP_NUM_THREADS, value: "2"}
      - {name: OPENBLAS_NUM_THREADS, value: "2"}
      {{- with $spec.podName }}
      - name: {{ $prefix }}{{ . }}
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- end }}
      {{- with $spec.env }}{{ toYaml . | nindent 6 }}{{ end }}
      {{- range $spec.secretEnv }}
      - name: {{ .name }}
        valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
      {{- end }}
    ports:
      - {name: grpc, containerPort: 50051}
      - {name: metrics, containerPort: 9464}
      {{- range $spec.ports }}
      - {name: {{ .name }}, containerPort: {{ .port }}}
      {{- end }}
    # `live` is served from the first moment whatever the service waits for; readiness is what it is for.
    startupProbe:
      grpc: {port: 50051, service: live}
      periodSeconds: 2
      timeoutSeconds: 3
      failureThreshold: 90
    livenessProbe:
      grpc: {port: 50051, service: live}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe:
      grpc: {port: 50051}
      periodSeconds: 2
      timeoutSeconds: 3
    {{- with $spec.drain }}
    lifecycle:
      preStop: {sleep: {seconds: {{ . }}}}
    {{- end }}
    resources: {{ toYaml $values.resources | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- range $mounts }}
      - {name: {{ .name }}, mountPath: {{ .path }}}
      {{- end }}
      {{- range $spec.files }}
      - {name: {{ .name }}, mountPath: {{ .path }}, readOnly: true}
      {{- end }}
volumes:
  - {name: tmp, emptyDir: {}}
  {{- with $spec.volume }}
  - {name: {{ .name }}, persistentVolumeClaim: {claimName: {{ .claim }}}}
  {{- end }}
  {{- range $spec.files }}
  - {name: {{ .name }}, secret: {secretName: {{ .secret }}, defaultMode: 0440}}
  {{- end }}
{{- end }}

{{- /* The environment of a service: what all are told, what this one is told, what the user adds; one name a line. */ -}}
{{- define "trading-platform.settings" -}}
{{- $root := index . 0 -}}
{{- $spec := index . 1 -}}
{{- $prefix := include "trading-platform.prefix" $spec.component -}}
{{- $v := $root.Values -}}
{{- $told := dict "HOST" "0.0.0.0" "GRPC_PORT" 50051 "METRICS_PORT" 9464 "LOG_LEVEL" $v.environment.logLevel -}}
{{- if has "topics" $spec.waits }}
{{- $_ := set $told "KAFKA__BOOTSTRAP" (include "trading-platform.bootstrap" $root) }}
{{- $_ := set $told "KAFKA__CLIENT" $v.kafka.client }}
{{- $_ := set $told "KAFKA__TOPIC_PREFIX" $v.environment.topicPrefix }}
{{- end }}
{{- if $v.tracing.endpoint }}
{{- $_ := set $told "TRACING__ENDPOINT" $v.tracing.endpoint }}
{{- $_ := set $told "TRACING__RATIO" (include "trading-platform.number" $v.tracing.ratio) }}
{{- end }}
{{- range $name, $value := mergeOverwrite $told $spec.settings (index . 2).settings }}
{{ $prefix }}{{ $name }}: {{ include "trading-platform.text" $value | quote }}
{{- end }}
{{- end }}
