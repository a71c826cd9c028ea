{{- /* What helm refuses before anything is installed; every problem is said at once, each with its remedy. */ -}}

{{- define "trading-platform.check" -}}
{{- $problems := concat (include "trading-platform.missing" . | fromYamlArray) (include "trading-platform.money" . | fromYamlArray) (include "trading-platform.shape" . | fromYamlArray) (include "trading-platform.secretProblems" . | fromYamlArray) -}}
{{- if $problems }}
{{- fail (printf "\n\nthe values of %s cannot be installed:\n  - %s\n\nFor a platform that needs nothing else: -f values-dev.yaml. For your own Kafka, PostgreSQL, S3 and MLflow: -f values-production.yaml and docs/operations.md.\n" .Release.Name (join "\n  - " $problems)) }}
{{- end }}
{{- end }}

{{- /* What has to be named because it is not inside of the release. */ -}}
{{- define "trading-platform.missing" -}}
{{- $v := .Values }}
{{- if not (or $v.kafka.bootstrap (include "trading-platform.inside" (list . "kafka"))) }}
- "kafka.bootstrap is empty: name your brokers as host:port, or set dev.enabled and dev.kafka.enabled"
{{- end }}
{{- if not (or $v.mlflow.uri (include "trading-platform.inside" (list . "mlflow"))) }}
- "mlflow.uri is empty: name your MLflow as http://host:port, or set dev.enabled and dev.mlflow.enabled"
{{- end }}
{{- if and $v.orderRouting.enabled (not (or $v.journal.existingSecret (include "trading-platform.inside" (list . "postgres")))) }}
- "journal.existingSecret is empty: name the secret whose key {{ $v.journal.urlKey }} holds postgresql+psycopg://user:password@host:5432/journal, or set dev.enabled and dev.postgres.enabled"
{{- end }}
{{- if and (include "trading-platform.inside" (list . "mlflow")) (not (include "trading-platform.inside" (list . "postgres"))) }}
- "dev.mlflow keeps what it knows in dev.postgres: enable both, or name your own MLflow in mlflow.uri"
{{- end }}
{{- if not $v.dev.enabled }}
{{- if not $v.keys.publicSecret }}
- "keys.publicSecret is empty: name the secret with training.public.pem and gate.public.pem, whom serving and routing believe"
{{- end }}
{{- if not $v.venue.keySecret }}
- "venue.keySecret is empty: name the secret whose key.json holds {\"key\": ..., \"secret\": ...} of the account at the venue"
{{- end }}
{{- if and $v.argo.enabled (not $v.keys.trainingSecret) }}
- "keys.trainingSecret is empty: retraining (argo.enabled) signs with training.private.pem of that secret"
{{- end }}
{{- if and $v.argo.enabled (not $v.keys.gateSecret) }}
- "keys.gateSecret is empty: the gate of retraining (argo.enabled) signs with gate.private.pem of that secret"
{{- end }}
{{- end }}
{{- if and $v.dev.enabled $v.venue.httpUrl (not $v.venue.keySecret) }}
- "venue.keySecret is empty: the key that this release makes is for its simulator, {{ $v.venue.httpUrl }} does not know it; name the secret whose key.json holds {\"key\": ..., \"secret\": ...} of the account there"
{{- end }}
{{- range list "httpUrl" "streamUrl" }}
{{- if not (or (index $v.venue .) $v.exchangeSimulator.enabled) }}
- "venue.{{ . }} is empty: name the venue, or set exchangeSimulator.enabled for the one of this release"
{{- end }}
{{- end }}
{{- end }}

{{- /* Real money needs scope LIVE, named policies, keys that this chart did not make, and two switches. */ -}}
{{- define "trading-platform.money" -}}
{{- $v := .Values }}
{{- $live := $v.account.live }}
{{- $host := (urlParse (include "trading-platform.venueHttp" .)).host | splitList ":" | first }}
{{- $real := has $host (list "api.bybit.com" "api.bytick.com" "api.bybit.nl" "api.bybit.eu") }}
{{- if or $real (eq $v.account.scope "LIVE") }}
{{- if ne $v.account.scope "LIVE" }}
- "venue.httpUrl {{ $host }} trades real money and account.scope is {{ $v.account.scope }}: a real account has scope LIVE; without real money use api-testnet.bybit.com or the simulator"
{{- end }}
{{- if not $live.enabled }}
- "account.live.enabled is false: {{ ternary (printf "%s trades real money" $host) "scope LIVE is for real money" $real }}, which needs this switch and account.live.iUnderstandThatThisTradesRealMoney"
{{- end }}
{{- if not $live.iUnderstandThatThisTradesRealMoney }}
- "account.live.iUnderstandThatThisTradesRealMoney is false: {{ ternary (printf "%s trades real money" $host) "scope LIVE is for real money" $real }}, which needs this switch and account.live.enabled"
{{- end }}
{{- if not $v.account.policies }}
- "account.policies is empty: scope LIVE believes only evidence under policies whose SHA-256 digests are named here (sha256sum of the policy file)"
{{- end }}
{{- if $v.dev.enabled }}
- "dev.enabled is true: a LIVE account does not stand on the development profile, whose keys the release makes for itself"
{{- end }}
{{- if eq (include "trading-platform.publicKeys" .) (printf "%s-public-keys" .Release.Name) }}
- "keys.publicSecret {{ include "trading-platform.publicKeys" . }} is the name under which the development profile makes keys: a LIVE account trusts the production gate's key alone, in a secret of another name"
{{- end }}
{{- else if or $live.enabled $live.iUnderstandThatThisTradesRealMoney }}
- "account.live is switched on and account.scope is {{ $v.account.scope }}: real money has scope LIVE; leave both switches false otherwise"
{{- end }}
{{- end }}

{{- /* What cannot work together. */ -}}
{{- define "trading-platform.shape" -}}
{{- $v := .Values }}
{{- if gt (len .Release.Name) 40 }}
- "the release's name has {{ len .Release.Name }} characters: at most 40, because names are built on it"
{{- end }}
{{- if and (ne $v.venue.category "linear") $v.orderRouting.enabled }}
- "venue.category is {{ $v.venue.category }}: order routing trades linear contracts; set orderRouting.enabled=false to follow a {{ $v.venue.category }} market without trading"
{{- end }}
{{- if and $v.orderRouting.enabled (hasPrefix "https://" $v.venue.httpUrl) (hasPrefix "ws://" $v.venue.streamUrl) }}
- "venue.streamUrl is {{ $v.venue.streamUrl }} beside {{ $v.venue.httpUrl }}: a venue over TLS streams over wss://"
{{- end }}
{{- if not (or $v.archive.enabled $v.archive.place) }}
{{- if $v.argo.enabled }}
- "argo.enabled retrains from the archive: enable archive, or name archive.place"
{{- end }}
{{- if and $v.dev.enabled $v.dev.firstModel.enabled }}
- "dev.firstModel learns from the archive: enable archive, name archive.place, or set dev.firstModel.enabled=false"
{{- end }}
{{- end }}
{{- end }}

{{- /* Named secrets that the cluster does not have, or that lack a key; only where helm speaks to a cluster. */ -}}
{{- define "trading-platform.secretProblems" -}}
{{- $v := .Values }}
{{- $namespace := .Release.Namespace }}
{{- if and $v.checks.secrets (lookup "v1" "ServiceAccount" $namespace "default") }}
{{- $wanted := list
  (list "keys.publicSecret" $v.keys.publicSecret (list "training.public.pem" "gate.public.pem"))
  (list "venue.keySecret" $v.venue.keySecret (list "key.json"))
  (list "journal.existingSecret" $v.journal.existingSecret (list $v.journal.urlKey))
  (list "archive.existingSecret" $v.archive.existingSecret (list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY"))
  (list "notifications.existingSecret" $v.notifications.existingSecret (list "urls")) }}
{{- if or $v.argo.enabled $v.dev.enabled }}
{{- $wanted = concat $wanted (list
  (list "keys.trainingSecret" $v.keys.trainingSecret (list "training.private.pem"))
  (list "keys.gateSecret" $v.keys.gateSecret (list "gate.private.pem"))) }}
{{- end }}
{{- range $v.image.pullSecrets }}
{{- $wanted = append $wanted (list "image.pullSecrets" . list) }}
{{- end }}
{{- range $wanted }}
{{- $value := index . 0 }}
{{- $name := index . 1 }}
{{- if $name }}
{{- $found := lookup "v1" "Secret" $namespace $name }}
{{- if not $found }}
- "{{ $value }}: there is no secret {{ $name }} in namespace {{ $namespace }}{{ with index . 2 }}; it holds {{ join " and " . }}{{ end }} (checks.secrets=false if it is made later)"
{{- else }}
{{- if and (eq $v.account.scope "LIVE") (hasPrefix "keys." $value) (eq (dig "metadata" "labels" "app.kubernetes.io/managed-by" "" $found) "infra.cluster.secrets") }}
- "{{ $value }}: secret {{ $name }} was made by a development release; a LIVE account trusts keys that nobody's release made"
{{- end }}
{{- range index . 2 }}
{{- if not (hasKey ($found.data | default dict) .) }}
- "{{ $value }}: secret {{ $name }} has no key {{ . }}; it has {{ keys ($found.data | default dict) | sortAlpha | join ", " | default "none" }}"
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* (list $ "monitoring.coreos.com/v1" value what): fails where the cluster does not know a custom resource. */ -}}
{{- define "trading-platform.needsApi" -}}
{{- $root := index . 0 -}}
{{- if and $root.Values.checks.apis (not ($root.Capabilities.APIVersions.Has (index . 1))) }}
{{- fail (printf "\n\n%s is on, but this cluster does not know %s: install %s first, or set %s=false. To render without a cluster: --api-versions %s, or checks.apis=false.\n" (index . 2) (index . 1) (index . 3) (index . 2) (index . 1)) }}
{{- end }}
{{- end }}
