{{- /* This release's values for what the pipeline rendered for Argo. */ -}}

{{- /* (list $ parameters): each parameter with the release's value where it has one. */ -}}
{{- define "trading-platform.retrainArguments" -}}
{{- $root := index . 0 -}}
{{- $v := $root.Values -}}
{{- $known := dict
  "image" (include "trading-platform.image" (list $root "pipelines"))
  "window" $v.argo.window
  "policy" $v.argo.policy
  "instrument" (include "trading-platform.instrument" $root)
  "scope" $v.account.scope
  "archive" (include "trading-platform.archivePlace" $root)
  "mlflow" (include "trading-platform.mlflow" $root)
  "kafka" (include "trading-platform.bootstrap" $root)
  "topic-prefix" $v.environment.topicPrefix
  "venue" (ternary (include "trading-platform.venueHttp" $root) "" $v.exchangeSimulator.enabled)
  "bar-seconds" (include "trading-platform.text" $v.features.barSeconds)
  "emission-ms" (include "trading-platform.text" $v.features.emissionMs)
  "patience-s" (include "trading-platform.text" $v.argo.archiveSettleSeconds) -}}
{{- range $name, $value := $v.argo.settings -}}
{{- $_ := set $known $name (include "trading-platform.text" $value) -}}
{{- end }}
parameters:
{{- range index . 1 }}
  - {name: {{ .name }}, value: {{ get $known .name | default .value | quote }}}
{{- end }}
{{- end }}

{{- /* (list $ volumes): with the release's claims and secrets; an archive in S3 has no volume. */ -}}
{{- define "trading-platform.retrainVolumes" -}}
{{- $root := index . 0 -}}
{{- $release := $root.Release.Name -}}
{{- $secrets := dict
  "training-key" (include "trading-platform.trainingKey" $root)
  "gate-key" (include "trading-platform.gateKey" $root)
  "notifications" ($root.Values.notifications.existingSecret | default (printf "%s-notifications" $release)) -}}
{{- $claims := dict "runs" (printf "%s-retrain" $release) "archive" (printf "%s-archive" $release) -}}
volumes:
{{- range index . 1 }}
{{- if hasKey $claims .name }}
{{- $_ := set .persistentVolumeClaim "claimName" (get $claims .name) }}
{{- else if hasKey $secrets .name }}
{{- $_ := set .secret "secretName" (get $secrets .name) }}
{{- end }}
{{- if not (and (eq .name "archive") $root.Values.archive.place) }}
  - {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* (list $ template): one step with the release's resources and, where it reads the archive, its access to S3. */ -}}
{{- define "trading-platform.retrainStep" -}}
{{- $root := index . 0 -}}
{{- $step := index . 1 -}}
{{- $archive := $root.Values.archive -}}
{{- with $step.container -}}
{{- $_ := set . "imagePullPolicy" $root.Values.image.pullPolicy -}}
{{- $_ := set . "resources" $root.Values.argo.resources -}}
{{- $mounts := list -}}
{{- $reads := false -}}
{{- range .volumeMounts -}}
{{- if eq .name "archive" -}}{{- $reads = true -}}{{- end -}}
{{- if not (and (eq .name "archive") $archive.place) -}}{{- $mounts = append $mounts . -}}{{- end -}}
{{- end -}}
{{- $_ := set . "volumeMounts" $mounts -}}
{{- if and $reads $archive.place -}}
{{- $_ := set . "env" (concat .env (include "trading-platform.objects" $root | fromYamlArray)) -}}
{{- with $archive.existingSecret -}}
{{- $_ := set $step.container "envFrom" (list (dict "secretRef" (dict "name" .))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $step.name "prepare" -}}
{{- with include "trading-platform.ownVolume" (list $root (include "trading-platform.image" (list $root "pipelines")) 10001 "runs") | fromYamlArray -}}
{{- $_ := set $step "initContainers" . -}}
{{- end -}}
{{- end -}}
{{- toYaml $step -}}
{{- end }}

{{- /* The volumes are one node's at a time: beside the archive where it is one, else beside each other. */ -}}
{{- define "trading-platform.retrainAffinity" -}}
{{- $beside := ternary "retrain" "archive" (ne .Values.archive.place "") -}}
podAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels: {{ include "trading-platform.selector" (list . $beside) | nindent 10 }}
{{- end }}
