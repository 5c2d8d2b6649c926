// Classes of experiments' event models, in small. They are known to the process that writes, and to no other.
#pragma once
#include <TBits.h>
#include <TClonesArray.h>
#include <TLorentzVector.h>
#include <TObjString.h>
#include <TObject.h>
#include <TRef.h>
#include <TRefArray.h>
#include <array>
#include <string>
#include <vector>

enum Colour { kRedJet, kGreenJet = 7, kBlueJet = -3 };
enum class Quality : unsigned char { Loose, Tight };

struct Truncated {
   Double32_t plain;
   Double32_t ranged;           //[-10,30,12]
   Double32_t bits;             //[0,0,10]
   Double32_t angle;            //[-pi,pi,14]
   Float16_t half;
   Float16_t half_ranged;       //[0,100,16]
   Float16_t half_bits;         //[0,0,8]
   Double32_t fixed[3];
   Double32_t fixed_ranged[3];  //[0,100,20]
   Float16_t half_fixed[3];
   Float16_t half_fixed_ranged[2];  //[-100,100,16]
   Int_t n;
   Double32_t *variable;        //[n]
   Double32_t *variable_ranged; //[n][0,100,18]
   Float16_t *half_variable;    //[n]
   std::vector<Double32_t> vector;
   double last;
   Truncated() : n(0), variable(nullptr), variable_ranged(nullptr), half_variable(nullptr) {}
   void set(int k) {
      plain = 0.1 * k; ranged = 0.3 * k - 5; bits = 1.7 * k; angle = 0.05 * k - 1.5; half = 0.7 * k; half_ranged = k;
      half_bits = 3.3 * k;
      for (int j = 0; j < 3; j++) { fixed[j] = 0.1 * k + j; fixed_ranged[j] = 0.5 * k + j; half_fixed[j] = k - j; }
      for (int j = 0; j < 2; j++) half_fixed_ranged[j] = 0.9 * k - j;
      delete[] variable; delete[] variable_ranged; delete[] half_variable;
      n = k % 4;
      variable = new Double32_t[n + 1]; variable_ranged = new Double32_t[n + 1]; half_variable = new Float16_t[n + 1];
      for (int j = 0; j < n; j++) { variable[j] = 0.2 * k + j; variable_ranged[j] = 0.6 * k + j; half_variable[j] = k + j; }
      vector.assign(k % 3, 0.1 * k);
      last = k;
   }
};

struct Numbers {
   Float_t pt;
   Double_t eta;
   Int_t charge;
   Bool_t tight;
   Char_t letter;
   UShort_t hits;
   Long64_t id;
   Colour colour;
   Quality quality;
   float matrix[2][3];
   std::array<float, 3> three;
   void set(int k) {
      pt = 0.5f * k; eta = 0.1 * k - 2; charge = k % 3 - 1; tight = k % 5 < 2; letter = 'a' + k % 26; hits = 100 * k;
      id = 9007199254740993LL + k; colour = k % 2 ? kGreenJet : kBlueJet; quality = k % 3 ? Quality::Tight : Quality::Loose;
      for (int j = 0; j < 6; j++) matrix[j / 3][j % 3] = k + j;
      for (int j = 0; j < 3; j++) three[j] = 2 * k + j;
   }
};

class Particle : public TObject {
public:
   Float_t pt, eta;
   Int_t hits[4];
   TLorentzVector p4;
   Double32_t energy;  //[0,1000,24]
   Particle() : pt(0), eta(0), hits{}, energy(0) {}
   void set(int k) {
      pt = 0.5f * k; eta = 0.1f * k; energy = 3 * k; p4.SetPtEtaPhiM(k + 1, 0.5, 0.25, 0.1);
      for (int j = 0; j < 4; j++) hits[j] = k + j;
   }
   ClassDefInline(Particle, 3)
};

class Jet : public Particle {
public:
   std::vector<float> constituents;
   std::string name;
   ClassDefInline(Jet, 1)
};

class Event : public TObject {
public:
   Int_t number;
   Numbers numbers;
   Jet jet;
   Int_t n;
   Float_t *variable;  //[n]
   std::vector<int> indices;
   std::vector<std::vector<float>> clusters;
   TString title;
   TClonesArray particles;
   TRef leading;
   TRefArray chosen;
   TBits trigger;
   Event() : number(0), n(0), variable(nullptr), particles("Particle") {}
   ~Event() { delete[] variable; }
   void set(int k) {
      number = k; numbers.set(k); jet.set(k); jet.constituents.assign(k % 3, k); jet.name = std::string(k % 5, 'j');
      delete[] variable;
      n = k % 4; variable = new Float_t[n + 1];
      for (int j = 0; j < n; j++) variable[j] = 10 * k + j;
      indices.assign(k % 3, k); clusters.assign(k % 2, std::vector<float>(k % 4, k)); title = TString::Format("event %d", k);
      particles.Clear("C"); chosen.Clear();
      for (int j = 0; j < k % 4; j++) {
         auto particle = static_cast<Particle *>(particles.ConstructedAt(j));
         particle->set(k + j);
         if (j == 0) leading = particle; else chosen.Add(particle);
      }
      trigger.ResetAllBits(); trigger.SetBitNumber(k % 40);
   }
   ClassDefInline(Event, 4)
};
