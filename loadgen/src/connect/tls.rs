//! Secure connections: who is trusted, and what is offered.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::TlsConnector;

use super::target::{Manner, TargetError};

/// What a secure connection needs; made once and shared.
#[derive(Clone)]
pub struct Tls {
    pub connector: TlsConnector,
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl Tls {
    pub fn new(name: &str, manner: &Manner) -> Result<Self, TargetError> {
        let problem = |error: &dyn fmt::Display| TargetError::Roots(error.to_string());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| problem(&error))?;
        let builder = match &manner.roots {
            _ if manner.insecure => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustsAnyone(provider)))
            }
            Some(pem) => builder.with_root_certificates(roots(pem)?),
            None => builder.with_platform_verifier().map_err(|error| problem(&error))?,
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![if manner.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| TargetError::Malformed { url: name.to_owned(), reason: error.to_string() })?;
        let config = Arc::new(config);
        Ok(Self { connector: TlsConnector::from(config.clone()), config, name })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.name)
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TargetError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| TargetError::Roots(error.to_string()))?;
        store.add(certificate).map_err(|error| TargetError::Roots(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(TargetError::Roots("the file holds no certificate in PEM form".to_owned()));
    }
    Ok(store)
}

/// Accepts any certificate, as asked for on the command line; signatures must still be right.
#[derive(Debug)]
struct TrustsAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
