{{/* Names, labels, images, and what the rest of the chart asks more than once. */}}

{{- define "hubbub.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selectors use: these never change. (dict "root" . "name" "streamer") */}}
{{- define "hubbub.selector" -}}
app.kubernetes.io/name: hubbub
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{/* Labels of pods. Nothing of the chart's own version: pods need not roll because of that. */}}
{{- define "hubbub.podLabels" -}}
{{ include "hubbub.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: hubbub
{{- with .root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hubbub.labels" -}}
{{ include "hubbub.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* metadata of an object. (dict "root" . "name" component ["suffix" text] ["labels" map] ["annotations" map]) */}}
{{- define "hubbub.metadata" -}}
name: {{ include "hubbub.fullname" .root }}{{ with .suffix | default (printf "-%s" .name) }}{{ . }}{{ end }}
labels:
  {{- include "hubbub.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.global.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (dict "root" . "image" map "tag" default) */}}
{{- define "hubbub.image" -}}
{{- $registry := .image.registry | default .root.Values.global.imageRegistry -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .tag) -}}
{{- end -}}
{{- end -}}

{{- define "hubbub.ownImage" -}}
{{- $image := merge (dict) (.values.image | default dict) .root.Values.image -}}
{{- include "hubbub.image" (dict "root" .root "image" $image "tag" .root.Chart.AppVersion) -}}
{{- end -}}

{{/* The values of a component, filled up from `defaults`; written into .out, which is a map.
     Done by hand, since sprig's merges keep what the other side sets to false, 0 or nothing. */}}
{{- define "hubbub.fill" -}}
{{- $out := .out -}}
{{- range $key, $value := .root.Values.defaults -}}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- range $key, $value := index .root.Values .name -}}
{{- $default := index $out $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $default) (has $key (list "pdb" "autoscaling" "service" "preStop" "probes" "serviceAccount")) -}}
{{- $both := dict -}}
{{- range $k, $v := $default }}{{ $_ := set $both $k $v }}{{ end -}}
{{- range $k, $v := $value }}{{ $_ := set $both $k $v }}{{ end -}}
{{- $_ := set $out $key $both -}}
{{- else -}}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" when the cluster knows an API group and version, or when that is to be assumed.
     (dict "root" . "api" "keda.sh/v1alpha1" "force" bool) */}}
{{- define "hubbub.has" -}}
{{- if or .force (.root.Capabilities.APIVersions.Has .api) }}true{{ end -}}
{{- end -}}

{{/* A value as a variable's text. Helm reads every number as a float. */}}
{{- define "hubbub.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . | quote }}{{ else }}{{ toString . | quote }}{{ end -}}
{{- end -}}

{{- define "hubbub.forwardedCount" -}}
{{- if kindIs "invalid" .Values.forwardedCount -}}
{{- ternary 1 0 (or .Values.ingress.enabled .Values.httpRoute.enabled) -}}
{{- else -}}
{{- int .Values.forwardedCount -}}
{{- end -}}
{{- end -}}

{{/* Copies of every stream: as many as there are servers, at most three. */}}
{{- define "hubbub.streamReplicas" -}}
{{- if .Values.nats.enabled }}{{ min 3 (int .Values.nats.replicas) }}{{ else }}{{ int .Values.externalNats.streamReplicas }}{{ end -}}
{{- end -}}

{{- define "hubbub.natsUrl" -}}
{{- if .Values.nats.enabled -}}
nats://{{ include "hubbub.fullname" . }}-nats:4222
{{- else -}}
{{- join "," .Values.externalNats.urls -}}
{{- end -}}
{{- end -}}

{{/* "true" when this release has a MongoDB of its own. */}}
{{- define "hubbub.ownMongo" -}}
{{- if not (or .Values.mongodb.existingSecret .Values.mongodb.uri) }}{{ if .Values.mongodb.dev.enabled }}true{{ end }}{{ end -}}
{{- end -}}

{{/* "true" when a Job makes the database ready, and services wait for it. */}}
{{- define "hubbub.migrates" -}}
{{- $enabled := .Values.migrations.enabled -}}
{{- if kindIs "invalid" $enabled }}{{ $enabled = not (include "hubbub.ownMongo" .) }}{{ end -}}
{{- if $enabled }}true{{ end -}}
{{- end -}}

{{- define "hubbub.devSecret" -}}
{{ include "hubbub.fullname" . }}-development
{{- end -}}
