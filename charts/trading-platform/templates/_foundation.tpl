{{- /*
A single-node workload of the development profile: Service, StatefulSet with one volume.

(list $ spec values): component, image, uid, port, ports (more: name, port), path (of the volume), env, command,
args, waits, mounts, volumes, readiness (a probe's action), checksum, seconds (to end in)
*/ -}}
{{- define "trading-platform.foundation" -}}
{{- $root := index . 0 -}}
{{- $spec := index . 1 -}}
{{- $values := index . 2 -}}
{{- with $spec.Error }}{{ fail . }}{{ end -}}
{{- $full := include "trading-platform.full" (list $root $spec.component) -}}
{{- $labels := include "trading-platform.labels" (list $root $spec.component) -}}
{{- $selector := include "trading-platform.selector" (list $root $spec.component) -}}
{{- $ports := prepend (default list $spec.ports) (dict "name" $spec.component "port" $spec.port) -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $full }}
  labels: {{ $labels | nindent 4 }}
spec:
  selector: {{ $selector | nindent 4 }}
  ports:
    {{- range $ports }}
    - {name: {{ .name }}, port: {{ int .port }}, targetPort: {{ .name }}}
    {{- end }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $full }}
  labels: {{ $labels | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $full }}
  podManagementPolicy: Parallel  # a mended image replaces a pod that never became ready
  selector:
    matchLabels: {{ $selector | nindent 6 }}
  template:
    metadata:
      labels: {{ $selector | nindent 8 }}  # without the chart's version: an upgrade of ours restarts nobody here
      annotations:
        checksum/settings: {{ toYaml $spec | sha256sum }}
    spec:
      {{- include "trading-platform.podHead" (list $root $spec.uid) | nindent 6 }}
      terminationGracePeriodSeconds: {{ int $spec.seconds }}
      {{- $own := include "trading-platform.ownVolume" (list $root $spec.image $spec.uid "data") | trim }}
      {{- if or $own $spec.waits }}
      initContainers:
        {{- with $own }}{{ . | nindent 8 }}{{ end }}
        {{- with $spec.waits }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- end }}
      containers:
        - name: {{ $spec.component }}
          image: {{ $spec.image }}
          {{- include "trading-platform.containerHead" $root | nindent 10 }}
          {{- with $spec.command }}
          command: {{ toYaml . | nindent 12 }}
          {{- end }}
          {{- with $spec.env }}
          env: {{ toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- range $ports }}
            - {name: {{ .name }}, containerPort: {{ int .port }}}
            {{- end }}
          startupProbe: {{ merge (dict "periodSeconds" 2 "timeoutSeconds" 5 "failureThreshold" 150) $spec.readiness | toYaml | nindent 12 }}
          readinessProbe: {{ merge (dict "periodSeconds" 5 "timeoutSeconds" 5) $spec.readiness | toYaml | nindent 12 }}
          livenessProbe: {{ merge (dict "periodSeconds" 20 "timeoutSeconds" 10 "failureThreshold" 6) $spec.readiness | toYaml | nindent 12 }}
          resources: {{ toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: data, mountPath: {{ $spec.path }}}
            - {name: tmp, mountPath: /tmp}
            {{- with $spec.mounts }}{{ toYaml . | nindent 12 }}{{ end }}
      volumes:
        - {name: tmp, emptyDir: {}}
        {{- with $spec.volumes }}{{ toYaml . | nindent 8 }}{{ end }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels: {{ $selector | nindent 10 }}
      spec: {{ include "trading-platform.claim" (list $root $values.size) | nindent 8 }}
{{- end }}
