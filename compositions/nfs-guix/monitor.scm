;;; Answers on port 8080 with what the server exports.
(use-modules (gnu) (guix gexp) (templates base))
(use-package-modules bash networking nfs)
(use-service-modules shepherd)

(define answer
  (program-file "answer"
    #~(begin
        (display "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        (force-output)
        (execl #$(file-append nfs-utils "/sbin/showmount") "showmount" "--exports" "server"))))

(define monitor-service-type
  (shepherd-service-type
   'monitor
   (lambda (port)
     (shepherd-service
      (documentation "Answer with what the server exports.")
      (provision '(monitor))
      (requirement '(user-processes networking))
      (start #~(make-inetd-constructor
                (list #$answer)
                (list (endpoint (make-socket-address AF_INET INADDR_ANY #$port)))))
      (stop #~(make-inetd-destructor))))
   (description "Answer with what the server exports.")))

(operating-system
  (inherit base-system)
  (packages (cons nfs-utils base-packages))
  (services (cons (service monitor-service-type 8080) base-services)))
