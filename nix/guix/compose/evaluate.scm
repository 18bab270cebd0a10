;;; Prints what a composition.scm evaluates to as JSON: guix repl -- evaluate.scm FILE
;;; Association lists become objects, other lists arrays.
(use-modules (guix ui) (ice-9 match) (json))

(define (pairs? value)
  (and (list? value)
       (pair? value)
       (and-map (match-lambda (((or (? symbol?) (? string?)) . _) #t) (_ #f)) value)))

(define (name key)
  (if (symbol? key) (symbol->string key) key))

(define (as-json value)
  (match value
    ((? pairs?) (map (match-lambda ((key . value) (cons (name key) (as-json value)))) value))
    ((? list?) (list->vector (map as-json value)))
    ((? symbol?) (symbol->string value))
    (_ value)))

(match (cdr (command-line))
  ((file)
   (let ((value (load* file (make-user-module '((compose setup))))))
     (unless (pairs? value)
       (leave (G_ "~a: is no association list~%") file))
     (scm->json (as-json value))
     (newline))))
