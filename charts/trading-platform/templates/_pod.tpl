{{- /* What every pod and container has in common: no rights, no root, no surprise from the cluster. */ -}}

{{- /* (list $ uid): the head of a pod's spec. */ -}}
{{- define "trading-platform.podHead" -}}
{{- $root := index . 0 -}}
{{- $uid := index . 1 -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $uid }}
  runAsGroup: {{ $uid }}
  fsGroup: {{ $uid }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $root.Values.scheduling.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.scheduling.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- /* $: what every container of ours begins with. A failed one leaves its last words in the pod's status. */ -}}
{{- define "trading-platform.containerHead" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* (list $ image what arguments): an init container that waits, says for what, and fails after a minute with one line. */ -}}
{{- define "trading-platform.wait" -}}
{{- $root := index . 0 -}}
- name: wait-{{ index . 2 }}
  image: {{ index . 1 }}
  {{- include "trading-platform.containerHead" $root | nindent 2 }}
  command: {{ index . 3 | toJson }}
  env:
    - {name: HOME, value: /tmp}
  resources:
    requests: {cpu: 10m, memory: 64Mi}
    limits: {memory: 256Mi}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{- /* (list $ image): waits for the topics. The Job that makes them is named by labels: its name has the revision, and a pod
that named it would begin anew with every upgrade. */ -}}
{{- define "trading-platform.waitTopics" -}}
{{- $root := index . 0 -}}
{{- $log := printf "kubectl logs -n %s -l app.kubernetes.io/instance=%s,app.kubernetes.io/component=topics" $root.Release.Namespace $root.Release.Name -}}
{{- $command := list "python" "-m" "libs.runtime.waiting" "topics" "--bootstrap" (include "trading-platform.bootstrap" $root) "--prefix" $root.Values.environment.topicPrefix "--topics-file" "protos/topics.yaml" "--log" $log -}}
{{ include "trading-platform.wait" (list $root (index . 1) "topics" $command) }}
{{- end }}

{{- /* (list $ image what address): waits until something listens there. */ -}}
{{- define "trading-platform.waitTcp" -}}
{{ include "trading-platform.wait" (list (index . 0) (index . 1) (index . 2) (list "python" "-m" "libs.runtime.waiting" "tcp" (index . 3))) }}
{{- end }}

{{- /* (list $ image uid volume): an init container that gives a root-owned volume to the pod, or says that it is not the pod's. */ -}}
{{- define "trading-platform.ownVolume" -}}
{{- $root := index . 0 -}}
{{- $uid := index . 2 -}}
- name: own-{{ index . 3 }}
  image: {{ index . 1 }}
  {{- if include "trading-platform.fixesOwner" $root }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  terminationMessagePolicy: FallbackToLogsOnError
  command: [sh, -c, '[ "$(stat -c %u /volume)" = {{ $uid }} ] || chown {{ $uid }}:{{ $uid }} /volume']
  securityContext:
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL], add: [CHOWN]}
  {{- else }}
  {{- include "trading-platform.containerHead" $root | nindent 2 }}
  command:
    - sh
    - -c
    - >-
      [ -w /volume ] || { echo "user {{ $uid }} may not write to the volume {{ index . 3 }}: its provisioner ignores fsGroup.
      Set persistence.storageClass to one that does not, or persistence.fixOwner=always in a namespace that allows root";
      exit 1; }
  {{- end }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: {{ index . 3 }}, mountPath: /volume}
{{- end }}

{{- /* "true" where volumes are given to their pods by an init container. */ -}}
{{- define "trading-platform.fixesOwner" -}}
{{- if eq .Values.persistence.fixOwner "always" }}true
{{- else if eq .Values.persistence.fixOwner "auto" }}
{{- $namespace := lookup "v1" "Namespace" "" .Release.Namespace | default dict }}
{{- $labels := dig "metadata" "labels" dict $namespace }}
{{- if ne (get $labels "pod-security.kubernetes.io/enforce") "restricted" }}true{{ end }}
{{- end }}
{{- end }}

{{- /* (list $ size): the spec of a claim. */ -}}
{{- define "trading-platform.claim" -}}
accessModes: [ReadWriteOnce]
{{- with (index . 0).Values.persistence.storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ index . 1 }}
{{- end }}
