{{/* Secrets become files under /etc/hubbub/secrets, named like the variables that they stand for:
     the environment of a process is easier to see for others than its files. */}}

{{/* Sources of a component's projected volume; empty when it needs no secret. */}}
{{- define "hubbub.secretSources" -}}
{{- include "hubbub.secretLines" . | trim -}}
{{- end -}}

{{- define "hubbub.secretLines" -}}
{{- $root := .root -}}
{{- if .facts.mongo }}
{{ include "hubbub.mongoSource" $root }}
{{- end }}
{{- $nats := ternary .root.Values.nats.auth .root.Values.externalNats .root.Values.nats.enabled }}
{{- if $nats.existingSecret }}
{{ include "hubbub.secretSource" (dict "secret" $nats.existingSecret "key" $nats.passwordKey "file" "hubbub_nats_password") }}
{{- end }}
{{- if eq .name "account" }}
{{ include "hubbub.adminSource" $root }}
{{- with .root.Values.accountTokens }}
{{- if .existingSecret }}
{{ include "hubbub.secretSource" (dict "secret" .existingSecret "key" .key "file" "hubbub_account_token_secret") }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "hubbub.secretSource" -}}
- secret:
    name: {{ .secret }}
    items: [{key: {{ .key | quote }}, path: {{ .file }}}]
{{- end -}}

{{/* Where the database is, if that is secret. */}}
{{- define "hubbub.mongoSource" -}}
{{- with .Values.mongodb }}
{{- if .existingSecret }}
{{- include "hubbub.secretSource" (dict "secret" .existingSecret "key" .uriKey "file" "hubbub_mongo_url") }}
{{- else if .uri }}
{{- include "hubbub.secretSource" (dict "secret" (include "hubbub.devSecret" $) "key" "mongodb-uri" "file" "hubbub_mongo_url") }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The first administrator's password, if there is one. */}}
{{- define "hubbub.adminSource" -}}
{{- with .Values.admin }}
{{- if .existingSecret }}
{{- include "hubbub.secretSource" (dict "secret" .existingSecret "key" .passwordKey "file" "hubbub_admin_password") }}
{{- else if .password }}
{{- include "hubbub.secretSource" (dict "secret" (include "hubbub.devSecret" $) "key" "admin-password" "file" "hubbub_admin_password") }}
{{- end }}
{{- end }}
{{- end -}}
