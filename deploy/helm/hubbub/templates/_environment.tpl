{{/* The environment of a component's container: what the chart computes, then `env`, then the
     component's own `env`. (dict "root" . "name" component "values" filled "facts" map) */}}
{{- define "hubbub.environment" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $env := dict
  "HUBBUB_OPS_HOST" "0.0.0.0"
  "HUBBUB_ROOT_URL" $values.rootUrl
  "HUBBUB_LOG_LEVEL" $values.log.level
  "HUBBUB_LOG_FORMAT" $values.log.format
  "HUBBUB_NATS_URL" (include "hubbub.natsUrl" $root)
  "HUBBUB_NATS_STREAM_REPLICAS" (include "hubbub.streamReplicas" $root)
  "HUBBUB_DRAIN_DEADLINE" (sub (int (include "hubbub.grace" .)) (add 5 (int .values.preStop.sleepSeconds)))
-}}
{{- if include "hubbub.secretSources" . }}{{ $_ := set $env "HUBBUB_SECRETS_DIR" "/etc/hubbub/secrets" }}{{ end -}}
{{- if include "hubbub.natsKeys" $root -}}
{{- $_ := set $env "HUBBUB_NATS_KEYS" "/etc/hubbub/keys" -}}
{{- else if and $values.nats.enabled (not $values.nats.auth.existingSecret) -}}
{{- $_ := set $env "HUBBUB_NATS_UNPROTECTED" true -}}
{{- end -}}
{{- if and $values.nats.enabled $values.nats.auth.existingSecret }}{{ $_ := set $env "HUBBUB_NATS_USER" $values.nats.auth.user }}{{ end -}}
{{- if not $values.nats.enabled -}}
{{- if $values.externalNats.user }}{{ $_ := set $env "HUBBUB_NATS_USER" $values.externalNats.user }}{{ end -}}
{{- if $values.externalNats.tls.caSecret }}{{ $_ := set $env "HUBBUB_NATS_TLS_CA" "/etc/hubbub/nats/ca.crt" }}{{ end -}}
{{- end -}}
{{- if and .facts.mongo (include "hubbub.ownMongo" $root) -}}
{{- $_ := set $env "HUBBUB_MONGO_URL" (printf "mongodb://%s-mongodb:27017/hubbub?directConnection=true" (include "hubbub.fullname" $root)) -}}
{{- end -}}
{{- if and .facts.mongo (include "hubbub.migrates" $root) -}}
{{- $_ := set $env "HUBBUB_SCHEMA_AT_START" "wait" -}}
{{- end -}}
{{- if $values.tracing.endpoint -}}
{{- $_ := set $env "OTEL_EXPORTER_OTLP_ENDPOINT" $values.tracing.endpoint -}}
{{- $_ := set $env "HUBBUB_TRACING_RATIO" $values.tracing.ratio -}}
{{- end -}}
{{- if eq .name "streamer" -}}
{{- $_ := set $env "HUBBUB_STREAMER_HOST" "0.0.0.0" -}}
{{- $_ := set $env "HUBBUB_STREAMER_MAX_CONNECTIONS" .values.maxConnections -}}
{{- $_ := set $env "HUBBUB_STREAMER_DRAIN_DELAY" .values.drain.delaySeconds -}}
{{- $_ := set $env "HUBBUB_STREAMER_DRAIN_WINDOW" .values.drain.windowSeconds -}}
{{- $_ := set $env "HUBBUB_STREAMER_DRAIN_PATIENCE" 10 -}}
{{- $_ := set $env "HUBBUB_STREAMER_SESSION_REPLICAS" (include "hubbub.streamReplicas" $root) -}}
{{- $_ := set $env "HUBBUB_HTTP_FORWARDED_COUNT" (include "hubbub.forwardedCount" $root) -}}
{{- else if eq .name "gateway" -}}
{{- $_ := set $env "HUBBUB_GATEWAY_HOST" "0.0.0.0" -}}
{{- $_ := set $env "HUBBUB_GATEWAY_RATE_LIMIT" .values.rateLimit -}}
{{- $_ := set $env "HUBBUB_GATEWAY_DRAIN_DELAY" .values.drain.delaySeconds -}}
{{- $_ := set $env "HUBBUB_HTTP_FORWARDED_COUNT" (include "hubbub.forwardedCount" $root) -}}
{{- else if eq .name "apps-engine" -}}
{{- with .values.require }}{{ $_ := set $env "HUBBUB_APPS_REQUIRE" (join "," .) }}{{ end -}}
{{- with .values.allowedNetworks }}{{ $_ := set $env "HUBBUB_APPS_ALLOWED_NETWORKS" (toJson .) }}{{ end -}}
{{- else if eq .name "operator" -}}
{{- $_ := set $env "HUBBUB_OPERATOR_APPS" .values.apps.enabled -}}
{{- else if eq .name "stream-hub" -}}
{{- $_ := set $env "HUBBUB_STREAM_HUB_LOG_REPLICAS" (include "hubbub.streamReplicas" $root) -}}
{{- else if and (eq .name "account") (or $values.admin.existingSecret $values.admin.password) -}}
{{- $_ := set $env "HUBBUB_ADMIN_USERNAME" $values.admin.username -}}
{{- if $values.admin.email }}{{ $_ := set $env "HUBBUB_ADMIN_EMAIL" $values.admin.email }}{{ end -}}
{{- end -}}
{{- range $name, $value := $values.env }}{{ $_ := set $env $name $value }}{{ end -}}
{{- range $name, $value := .values.env }}{{ $_ := set $env $name $value }}{{ end -}}
{{- range $name, $value := $env }}
- name: {{ $name }}
  value: {{ include "hubbub.text" $value }}
{{- end }}
{{- end -}}

{{/* Seconds that a pod gets to end. A streamer's: the wait before it is told, the delay in which
     it still accepts, the window in which it closes, 10 for answers, 15 to spare. The process ends
     by itself 5 s before that (HUBBUB_DRAIN_DEADLINE, counted from when it is told). */}}
{{- define "hubbub.grace" -}}
{{- if not (kindIs "invalid" .values.terminationGracePeriodSeconds) -}}
{{- int .values.terminationGracePeriodSeconds -}}
{{- else if eq .name "streamer" -}}
{{- add (int .values.preStop.sleepSeconds) (int .values.drain.delaySeconds) (int .values.drain.windowSeconds) 10 15 -}}
{{- else -}}
{{- add (int .values.preStop.sleepSeconds) (int (dig "drain" "delaySeconds" 0 .values)) 30 -}}
{{- end -}}
{{- end -}}
