{{/* What every template agrees on: names, labels, the image. */}}

{{- define "weft.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Of the release. 49 characters leave room for "-control-plane" in the 63 of a label. */}}
{{- define "weft.fullname" -}}
{{- $name := include "weft.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 49 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 49 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 49 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "weft.controlPlane" -}}
{{- include "weft.fullname" . }}-control-plane
{{- end }}

{{/* "true" where the mesh's identity is in a Secret, which replicas share. */}}
{{- define "weft.inSecret" -}}
{{- if and (eq .Values.source "kubernetes") .Values.state.secret -}}
true
{{- else if gt (int .Values.replicas) 1 -}}
{{- fail "replicas: more than one needs source=kubernetes and state.secret=true, since a state directory has one owner" -}}
{{- end -}}
{{- end }}

{{- define "weft.keysSecret" -}}
{{- include "weft.fullname" . }}-identity
{{- end }}

{{- define "weft.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "weft.controlPlane" .) .Values.serviceAccount.name }}
{{- else -}}
{{- required "serviceAccount.name: has to name the account that serviceAccount.create does not create" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* What a selector selects by: never changes in a release's life. */}}
{{- define "weft.selector" -}}
app.kubernetes.io/name: {{ include "weft.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: control-plane
{{- end }}

{{/* The head of every object of the release's namespace, under `metadata:`. */}}
{{- define "weft.head" -}}
namespace: {{ .Release.Namespace }}
{{ include "weft.clusterHead" . }}
{{- end }}

{{/* The same of an object that is the whole cluster's. */}}
{{- define "weft.clusterHead" -}}
labels:
  {{- include "weft.labels" . | nindent 2 }}
{{- with .Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "weft.labels" -}}
{{- $ours := dict
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "weft"
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- /* Ours win: a selector's label that an operator overwrote would select nothing. */}}
{{- mergeOverwrite (deepCopy .Values.commonLabels) $ours (include "weft.selector" . | fromYaml) | toYaml }}
{{- end }}

{{- define "weft.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{/* The name of what is the whole cluster's: two installations have two. */}}
{{- define "weft.inCluster" -}}
{{- printf "%s-%s" (include "weft.controlPlane" .) .Release.Namespace }}
{{- end }}

{{/* Fails where another installation is in the cluster. `helm template` and GitOps tools ask no API server and see none; the
     control plane sees it then, and stands back. */}}
{{- define "weft.alone" -}}
{{- $ours := printf "%s.%s" (include "weft.controlPlane" .) .Release.Namespace -}}
{{- range $kind := list "MutatingWebhookConfiguration" "ValidatingWebhookConfiguration" -}}
{{- range (lookup "admissionregistration.k8s.io/v1" $kind "" "").items -}}
{{- if eq (dig "labels" "app.kubernetes.io/part-of" "" .metadata) "weft" -}}
{{- range .webhooks -}}
{{- with .clientConfig.service -}}
{{- if ne (printf "%s.%s" .name .namespace) $ours -}}
{{- fail (printf "another installation of Weft is in this cluster, in the namespace %s: there is one in a cluster. Uninstall it first, or upgrade it where it is" .namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Whether the API server asks us before it takes an object. */}}
{{- define "weft.admission" -}}
{{- if and (eq .Values.source "kubernetes") (or .Values.injection.enabled .Values.validation.enabled) }}yes{{ end }}
{{- end }}

{{- define "weft.proxyImage" -}}
{{- $proxy := .Values.proxy.image -}}
{{- with default .Values.image.registry $proxy.registry }}{{ . }}/{{ end }}{{ $proxy.repository }}
{{- if $proxy.digest }}@{{ $proxy.digest }}{{ else }}:{{ default .Chart.AppVersion $proxy.tag }}{{ end }}
{{- end }}

{{/* The port of an address like 0.0.0.0:15010 or [::]:15010. */}}
{{- define "weft.listenPort" -}}
{{- regexFind "[0-9]+$" .Values.controlPlane.listen }}
{{- end }}

{{/* What brings pods' connections to their proxies. */}}
{{- define "weft.redirect" -}}
{{- if .Values.cni.enabled }}node{{ else }}{{ .Values.injection.redirect }}{{ end }}
{{- end }}

{{- define "weft.cni" -}}
{{- include "weft.fullname" . }}-cni
{{- end }}

{{- define "weft.cniSelector" -}}
{{- mergeOverwrite (include "weft.selector" . | fromYaml) (dict "app.kubernetes.io/component" "cni") | toYaml }}
{{- end }}

{{- define "weft.cniLabels" -}}
{{- mergeOverwrite (include "weft.labels" . | fromYaml) (include "weft.cniSelector" . | fromYaml) | toYaml }}
{{- end }}

{{/* It may be installed elsewhere than the rest: what it mounts of the node is for privileged namespaces. */}}
{{- define "weft.cniHead" -}}
namespace: {{ default .Release.Namespace .Values.cni.namespace }}
labels:
  {{- include "weft.cniLabels" . | nindent 2 }}
{{- with .Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
