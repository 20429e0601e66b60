{{/* A component of Hubbub, with everything that belongs to it:

       include "hubbub.component" (dict "root" . "name" "presence" "service" "presence" "facts" (dict "mongo" true))

     facts: mongo (it talks to the database), http (it has a public port), egress (further names
     of networkPolicy.egress), account (it talks to Kubernetes). */}}
{{- define "hubbub.component" -}}
{{- $values := dict -}}
{{- include "hubbub.fill" (dict "root" .root "name" .name "out" $values) -}}
{{- if $values.enabled -}}
{{- $context := dict "root" .root "name" .name "service" .service "facts" (.facts | default dict) "values" $values -}}
{{- include "hubbub.serviceAccount" $context }}
---
{{ include "hubbub.deployment" $context }}
{{- if $context.facts.http }}
---
{{ include "hubbub.service" $context }}
{{- end }}
{{- include "hubbub.pdb" $context }}
{{- include "hubbub.autoscaler" $context }}
{{- include "hubbub.networkPolicy" $context }}
{{- end -}}
{{- end -}}

{{- define "hubbub.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "hubbub.metadata" (dict "root" .root "name" .name "annotations" .values.serviceAccount.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}

{{- define "hubbub.deployment" -}}
{{- $elsewhere := include "hubbub.scaledElsewhere" . -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "hubbub.metadata" . | nindent 2 }}
spec:
  {{- if not $elsewhere }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  minReadySeconds: {{ .values.minReadySeconds }}
  progressDeadlineSeconds: {{ .values.progressDeadlineSeconds }}
  strategy:
    {{- if has .name (list "operator" "apps-engine") }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: {maxSurge: "25%", maxUnavailable: 0}
    {{- end }}
  selector:
    matchLabels:
      {{- include "hubbub.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "hubbub.podLabels" . | nindent 8 }}
        {{- with .values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with include "hubbub.podAnnotations" . }}
      annotations:
        {{- . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "hubbub.podSpec" . | nindent 6 }}
{{- end -}}

{{- define "hubbub.podAnnotations" -}}
{{- if .root.Values.metrics.annotations.enabled }}
prometheus.io/scrape: "true"
prometheus.io/port: "8081"
prometheus.io/path: /metrics
{{- end }}
{{- if or .root.Values.mongodb.uri .root.Values.admin.password }}
checksum/secret: {{ printf "%s %s" .root.Values.mongodb.uri .root.Values.admin.password | sha256sum }}
{{- end }}
{{- range $key, $value := .root.Values.global.annotations }}
{{ $key }}: {{ $value | quote }}
{{- end }}
{{- range $key, $value := .values.podAnnotations }}
{{ $key }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "hubbub.podSpec" -}}
serviceAccountName: {{ include "hubbub.fullname" .root }}-{{ .name }}
automountServiceAccountToken: {{ .facts.account | default false }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "hubbub.grace" . }}
securityContext:
  {{- include "hubbub.podSecurity" (dict "root" .root "user" 10001) | nindent 2 }}
containers:
  - name: hubbub
    image: {{ include "hubbub.ownImage" . }}
    imagePullPolicy: {{ .values.image.pullPolicy | default .root.Values.image.pullPolicy }}
    args: {{ concat (list "run" .service) .values.extraArgs | toJson }}
    env:
      {{- include "hubbub.environment" . | trim | nindent 6 }}
    {{- with .values.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    ports:
      {{- if .facts.http }}
      - {name: http, containerPort: 3000, protocol: TCP}
      {{- end }}
      - {name: ops, containerPort: 8081, protocol: TCP}
    {{- range $probe, $path := dict "startup" "/startupz" "liveness" "/livez" "readiness" "/readyz" }}
    {{ $probe }}Probe:
      httpGet: {path: {{ $path }}, port: ops}
      {{- toYaml (index $.values.probes $probe) | nindent 6 }}
    {{- end }}
    {{- with .values.preStop.sleepSeconds }}
    lifecycle:
      preStop:
        sleep: {seconds: {{ . }}}
    {{- end }}
    resources:
      {{- toYaml .values.resources | nindent 6 }}
    securityContext:
      {{- include "hubbub.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- if include "hubbub.secretSources" . }}
      - {name: secrets, mountPath: /etc/hubbub/secrets, readOnly: true}
      {{- end }}
      {{- if include "hubbub.natsKeys" .root }}
      - {name: nats-key, mountPath: /etc/hubbub/keys, readOnly: true}
      {{- end }}
      {{- if include "hubbub.natsAuthority" .root }}
      - {name: nats-authority, mountPath: /etc/hubbub/nats, readOnly: true}
      {{- end }}
      {{- with .values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- with .values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: {{ ternary "512Mi" "64Mi" (eq .name "apps-engine") }}}
  {{- with include "hubbub.secretSources" . }}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- . | nindent 8 }}
  {{- end }}
  {{- with include "hubbub.natsKeys" .root }}
  - name: nats-key
    secret:
      secretName: {{ . }}
      defaultMode: 0440
      items: [{key: {{ $.service }}.nk, path: {{ $.service }}.nk}]
  {{- end }}
  {{- with include "hubbub.natsAuthority" .root }}
  - name: nats-authority
    secret:
      secretName: {{ . }}
      items: [{key: {{ $.root.Values.externalNats.tls.caKey | quote }}, path: ca.crt}]
  {{- end }}
  {{- with .values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- include "hubbub.scheduling" . }}
{{- end -}}

{{/* Secret with the keys of NATS's users, if they have any; a pod gets its own key only. */}}
{{- define "hubbub.natsKeys" -}}
{{- if .Values.nats.enabled }}{{ .Values.nats.auth.keysSecret }}{{ else }}{{ .Values.externalNats.keysSecret }}{{ end -}}
{{- end -}}

{{/* Secret with the authority of an external NATS, if there is one. */}}
{{- define "hubbub.natsAuthority" -}}
{{- if not .Values.nats.enabled }}{{ .Values.externalNats.tls.caSecret }}{{ end -}}
{{- end -}}

{{/* The Pod Security Standard `restricted`. */}}
{{- define "hubbub.podSecurity" -}}
runAsNonRoot: true
{{- if .root.Values.podSecurity.fixedUser }}
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "hubbub.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where pods may run. Works for every pod of the chart; `values` may lack any of the keys. */}}
{{- define "hubbub.scheduling" -}}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with merge (dict) (.values.nodeSelector | default dict) .root.Values.global.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat (.values.tolerations | default list) .root.Values.global.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $spread := .values.topologySpreadConstraints }}
{{- if kindIs "slice" $spread }}
{{- with $spread }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- else }}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    {{- if not $.anyRevision }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
    labelSelector:
      matchLabels:
        {{- include "hubbub.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "hubbub.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "hubbub.metadata" (dict "root" .root "name" .name "annotations" .values.service.annotations) | nindent 2 }}
spec:
  type: {{ .values.service.type }}
  sessionAffinity: None
  {{- with .values.service.trafficDistribution }}
  trafficDistribution: {{ . }}
  {{- end }}
  selector:
    {{- include "hubbub.selector" . | nindent 4 }}
  ports:
    - {name: http, port: 3000, targetPort: http, protocol: TCP, appProtocol: http}
{{- end -}}

{{- define "hubbub.pdb" -}}
{{- $least := ternary .values.autoscaling.minReplicas .values.replicas (or .values.autoscaling.enabled (include "hubbub.keda" . | eq "true")) -}}
{{- if and .values.pdb.enabled (gt (int $least) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "hubbub.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .values.pdb.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "hubbub.selector" . | nindent 6 }}
{{- end }}
{{- end -}}
