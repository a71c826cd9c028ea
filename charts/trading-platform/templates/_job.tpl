{{- /*
A Job of one container, named by revision because Jobs cannot be changed; it is tried again until its cause has gone.

(list $ job): name (its component too), image, command, env, envFrom (secrets), waits (rendered init containers), mounts, volumes,
resources, account (with its token), affinity
*/ -}}
{{- define "trading-platform.job" -}}
{{- $root := index . 0 -}}
{{- $job := index . 1 -}}
{{- with $job.Error }}{{ fail . }}{{ end -}}
{{- $labels := include "trading-platform.labels" (list $root $job.name) -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "trading-platform.full" (list $root $job.name) }}-r{{ $root.Release.Revision }}
  labels: {{ $labels | nindent 4 }}
spec:
  backoffLimit: 1000
  ttlSecondsAfterFinished: 86400
  template:
    metadata:
      labels: {{ $labels | nindent 8 }}
    spec:
      restartPolicy: OnFailure
      {{- $head := include "trading-platform.podHead" (list $root 10001) | fromYaml }}
      {{- if $job.account }}
      {{- $_ := set $head "serviceAccountName" $job.account }}
      {{- $_ := set $head "automountServiceAccountToken" true }}
      {{- end }}
      {{- with $job.affinity }}
      {{- $_ := set $head "affinity" . }}
      {{- end }}
      {{- toYaml $head | nindent 6 }}
      {{- with $job.waits }}
      initContainers: {{ toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ $job.name }}
          image: {{ include "trading-platform.image" (list $root $job.image) }}
          {{- include "trading-platform.containerHead" $root | nindent 10 }}
          command: {{ toJson $job.command }}
          {{- with $job.envFrom }}
          envFrom:
            {{- range . }}
            - secretRef: {name: {{ . }}}
            {{- end }}
          {{- end }}
          env: {{ concat (list (dict "name" "HOME" "value" "/tmp")) (default list $job.env) | toYaml | nindent 12 }}
          resources: {{ toYaml $job.resources | nindent 12 }}
          volumeMounts: {{ concat (list (dict "name" "tmp" "mountPath" "/tmp")) (default list $job.mounts) | toYaml | nindent 12 }}
      volumes: {{ concat (list (dict "name" "tmp" "emptyDir" dict)) (default list $job.volumes) | toYaml | nindent 8 }}
{{- end }}
