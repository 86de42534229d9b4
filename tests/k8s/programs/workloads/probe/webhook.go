// An admission webhook of the least size, so that a check can see that the API server calls one through a Service.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
)

type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID  string `json:"uid"`
	Name string `json:"name"`
}

type response struct {
	UID       string `json:"uid"`
	Allowed   bool   `json:"allowed"`
	PatchType string `json:"patchType"`
	Patch     []byte `json:"patch"`
}

func serveWebhook(certificate, key string) error {
	http.HandleFunc("/", func(answer http.ResponseWriter, asked *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(answer, asked.Body, 4<<20))
		var reviewed review
		if err == nil {
			err = json.Unmarshal(body, &reviewed)
		}
		if err != nil || reviewed.Request == nil {
			http.Error(answer, "not an AdmissionReview", http.StatusBadRequest)
			return
		}
		log.Printf("admits %s", reviewed.Request.Name)
		reviewed.Response = &response{
			UID:       reviewed.Request.UID,
			Allowed:   true,
			PatchType: "JSONPatch",
			Patch:     []byte(`[{"op":"add","path":"/metadata/annotations","value":{"seen-by":"the webhook"}}]`),
		}
		reviewed.Request = nil
		answer.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(answer).Encode(reviewed); err != nil {
			log.Print(err)
		}
	})
	return http.ListenAndServeTLS(":8443", certificate, key, nil)
}
